// Mailbox names and the namespaces they belong to.
import { MailboxNameError } from '#protocol/imap/grammar.js';
import type { MailUser, Namespace } from '#storage/user.js';
import type { Session } from './session.js';

/** The namespace that a name belongs to. */
export function namespaceOf(user: MailUser, name: string): Namespace | undefined {
  let best: Namespace | undefined;
  for (const namespace of user.namespaces) {
    const isInside = name.startsWith(namespace.prefix) || `${name}${namespace.separator}` === namespace.prefix;
    if (isInside && (best === undefined || namespace.prefix.length > best.prefix.length)) best = namespace;
  }
  return best ?? user.namespaces[0];
}

/** Its hierarchy separator. */
export function separatorOf(user: MailUser, name: string): string {
  return namespaceOf(user, name)?.separator ?? '/';
}

/**
 * Names in UTF-8 are made in one form only (RFC 9051 5.1, RFC 6855 3: Net-Unicode, RFC 5198 2), as they are compared octet by octet. Those that are
 * there, from modified UTF-7 or another server, can be used whatever they are.
 * @throws MailboxNameError
 */
export function checkNewName(session: Session, name: string): void {
  if (session.isUtf8 && name.normalize('NFC') !== name) throw new MailboxNameError('Mailbox name is not in Unicode Normalization Form C');
}

export function parentOf(name: string, separator: string): string {
  return name.slice(0, Math.max(name.lastIndexOf(separator), 0));
}
