// Levels of mailbox names as parts of file names.
import { decodeMailboxUtf7, encodeMailboxUtf7 } from './mailbox-utf7.js';

export interface DiskNames {
  encode(level: string): string;
  /** Undefined: not the name of a mailbox. */
  decode(part: string): string | undefined;
}

export function createDiskNames(isUtf8: boolean): DiskNames {
  if (!isUtf8) return { encode: encodeMailboxUtf7, decode: decodeMailboxUtf7 };
  // Node gives U+FFFD for octets that are not UTF-8: such a name could not be opened again.
  return { encode: (level) => level, decode: (part) => (part.includes('\ufffd') ? undefined : part) };
}

/** The last guard before a path is built. */
export function isSafeComponent(component: string): boolean {
  return component !== '' && component !== '.' && component !== '..' && !/[/\0]/.test(component);
}
