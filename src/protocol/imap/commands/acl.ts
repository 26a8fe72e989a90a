// ACL (RFC 4314): SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS.
import { decodeUtf8 } from '../grammar.js';
import type { CommandReader } from '../reader.js';

export interface AclIdentifierCommand {
  readonly mailbox: string;
  readonly identifier: string;
}

export interface SetAclCommand extends AclIdentifierCommand {
  readonly mode: 'replace' | 'add' | 'remove';
  /** Letters as written, without the mode. */
  readonly rights: string;
}

function parseIdentifier(reader: CommandReader): string {
  const identifier = decodeUtf8(reader.astring());
  if (identifier === '' || identifier.length > 255 || /[\x00-\x1f\x7f]/.test(identifier)) reader.fail('Invalid identifier');
  return identifier;
}

export function parseAclIdentifier(reader: CommandReader): AclIdentifierCommand {
  reader.space();
  const mailbox = reader.mailbox();
  reader.space();
  const identifier = parseIdentifier(reader);
  reader.end();
  return { mailbox, identifier };
}

export function parseSetAcl(reader: CommandReader): SetAclCommand {
  reader.space();
  const mailbox = reader.mailbox();
  reader.space();
  const identifier = parseIdentifier(reader);
  reader.space();
  const text = reader.astring();
  reader.end();
  const mode = text.startsWith('+') ? 'add' : text.startsWith('-') ? 'remove' : 'replace';
  const rights = mode === 'replace' ? text : text.slice(1);
  if (!/^[a-z0-9]*$/.test(rights)) reader.fail('Invalid rights');
  return { mailbox, identifier, mode, rights };
}
