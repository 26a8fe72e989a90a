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

const maxIdentifierChars = 255;

/** RFC 4314 3: prepared by SASLprep, BAD where that leaves nothing or cannot be. The signs of negative rights and groups are no name alone. */
function parseIdentifier(reader: CommandReader): string {
  const identifier = prepare(decodeUtf8(reader.astring()));
  const isValid = identifier.length <= maxIdentifierChars && !/^-?(?:!?\$)?$/.test(identifier) && !prohibited.test(identifier);
  return isValid ? identifier : reader.fail('Invalid identifier');
}

/** RFC 4013 2.3: control characters, private use, surrogates, and what stands for octets that are no UTF-8. */
const prohibited = /[\p{Cc}\p{Co}\p{Cs}\u06dd\u070f\u180e\u2028\u2029\u200e\u200f\u202a-\u202e\u206a-\u206f\u2ff0-\u2ffb\ufff9-\ufffd]/u;

/** RFC 4013 2.1, 2.2: other blanks are spaces, what is invisible goes, and a letter has one form. */
function prepare(text: string): string {
  return text
    .replace(/\p{Zs}/gu, ' ')
    .replace(/[\u00ad\u1806\u200b-\u200d\u2060\ufeff]|\u034f|[\u180b-\u180d]|[\ufe00-\ufe0f]/gu, '')
    .normalize('NFKC');
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
