// Rules for mailbox names. What passes here can not leave the mail folder: each level becomes (part of) one path component.
import { toUSVString } from 'node:util';
import { StorageError } from '../errors.js';

/** A mailbox name split at the separator, without the namespace's prefix, UTF-8. INBOX of an inbox namespace is `['INBOX']`. */
export type Levels = readonly string[];

/** Bytes of a whole name on disk, and of one level (NAME_MAX). */
export const maxNameBytes = 4096;
export const maxLevelBytes = 255;

export const inboxLevels: Levels = ['INBOX'];
export const isInboxLevels = (levels: Levels): boolean => levels.length === 1 && levels[0] === 'INBOX';
/** A key for maps; no name has a NUL. */
export const levelsKey = (levels: Levels): string => levels.join('\0');

export function invalidName(reason: string, name: string): StorageError {
  return new StorageError('invalid-name', `${reason} (${JSON.stringify(name)})`, { clientText: reason });
}

/**
 * Checks what holds in every layout.
 * @throws StorageError `invalid-name`
 */
export function checkLevels(levels: Levels, name: string): void {
  if (levels.length === 0 || name === '') throw invalidName('Invalid mailbox name: Name is empty', name);
  if (toUSVString(name) !== name || name.includes('\0')) throw invalidName('Invalid mailbox name: Not valid UTF-8', name);
  levels.forEach((level, index) => {
    if (level !== '') return;
    if (index === 0) throw invalidName('Invalid mailbox name: Begins with hierarchy separator', name);
    if (index === levels.length - 1) throw invalidName('Invalid mailbox name: Ends with hierarchy separator', name);
    throw invalidName('Invalid mailbox name: Has adjacent hierarchy separators', name);
  });
}

/** Further rules for names of new mailboxes. @throws StorageError `invalid-name` */
export function checkNewLevels(levels: Levels, name: string): void {
  if (levels.reduce((sum, level) => sum + Buffer.byteLength(level) + 1, -1) > maxNameBytes)
    throw invalidName('Mailbox name too long', name);
  if (levels.some((level) => Buffer.byteLength(level) > maxLevelBytes)) throw invalidName('Mailbox name too long', name);
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) {
    throw invalidName('Control characters not allowed in new mailbox names', name);
  }
}
