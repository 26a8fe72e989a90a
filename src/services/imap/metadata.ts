// Annotations of RFC 5464 over the attributes of an account: each entry is an attribute of its own name.
import { encodeAstring } from '#protocol/imap/encoder.js';
import type { Attributes } from '#storage/attributes.js';
import type { Session } from './session.js';

/** RFC 6154 5.1: the special use of a mailbox as an annotation. It lives in the mailbox list, not among the attributes. */
export const specialUseEntry = '/private/specialuse';

export function isMetadataEntry(name: string): boolean {
  return name.startsWith('/private/') || name.startsWith('/shared/');
}

/** RFC 5464 3.3: who may look a mailbox up and has one of the rights to use it. */
export function mayAnnotate(rights: string): boolean {
  return rights.includes('l') && /[rswip]/.test(rights);
}

/** What a mailbox (undefined: the server) has, its special use included. @throws StorageError `not-found` */
export async function readMetadata(session: Session, mailbox: string | undefined, signal: AbortSignal): Promise<Attributes> {
  const stored = await session.user.readAttributes(mailbox, signal);
  const values = new Map([...stored].filter(([name]) => isMetadataEntry(name)));
  if (mailbox !== undefined) {
    const entries = await session.user.list([mailbox], { subscribedOnly: false }, signal);
    const uses = entries.find(({ name }) => name === mailbox)?.specialUse ?? [];
    if (uses.length > 0) values.set(specialUseEntry, Buffer.from(uses.join(' ')));
  }
  return values;
}

/** `/private/comment {5}..hello`; a literal8 where the value holds NUL. */
export function encodeEntry(name: string, value: Buffer | undefined): string {
  if (value === undefined) return `${encodeAstring(name)} NIL`;
  const mark = value.includes(0) ? '~' : '';
  return `${encodeAstring(name)} ${mark}{${value.length}}\r\n${value.toString('latin1')}`;
}
