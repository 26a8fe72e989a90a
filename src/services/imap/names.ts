// Mailbox names and the namespaces they belong to.
import type { MailUser, Namespace } from '#storage/user.js';

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

export function parentOf(name: string, separator: string): string {
  return name.slice(0, Math.max(name.lastIndexOf(separator), 0));
}
