// APPEND (RFC 9051 6.3.12, RFC 3502 MULTIAPPEND, RFC 6855 UTF8). Each message is a literal, so the command is parsed in pieces.
import { parseDateTime } from '../date.js';
import type { CommandReader } from '../reader.js';
import { isUrlLiteral } from './catenate.js';

/** What stands before one message literal. */
export interface AppendItem {
  readonly flags: readonly string[];
  readonly internalDateMs: number | undefined;
  /** Inside `UTF8 (~{n}...)`. */
  readonly isUtf8: boolean;
  /** RFC 4469: parts follow, not one literal; the reader stands behind `CATENATE (`. */
  readonly isCatenate: boolean;
}

/** True when a literal of APPEND is a message rather than the mailbox name, which can only come first. */
export function isAppendMessage(argumentsBefore: string, isFirst: boolean): boolean {
  if (isUrlLiteral(argumentsBefore)) return false;
  return !isFirst || !/^ *~?\{\d+\+?\}$/.test(argumentsBefore);
}

export function parseAppendMailbox(reader: CommandReader): string {
  reader.space();
  return reader.mailbox();
}

/** `SP [flags SP] [date-time SP] [UTF8 (]` and the marker of the literal, up to the end of the text. */
export function parseAppendItem(reader: CommandReader): AppendItem {
  reader.space();
  let flags: string[] = [];
  if (reader.isAtList) {
    flags = reader.flagList();
    reader.space();
  }
  let internalDateMs: number | undefined;
  if (reader.peek() === 0x22) {
    const text = reader.string();
    internalDateMs = parseDateTime(text);
    if (internalDateMs === undefined) reader.fail('Invalid internal date.');
    reader.space();
  }
  if (reader.tryWord('CATENATE')) {
    reader.space();
    reader.char('(');
    return { flags, internalDateMs, isUtf8: false, isCatenate: true };
  }
  const isUtf8 = reader.tryWord('UTF8');
  if (isUtf8) {
    reader.space();
    reader.char('(');
  }
  if (!/^~?\{\d+\+?\}$/.test(reader.text.slice(reader.position))) reader.fail('Invalid arguments.');
  return { flags, internalDateMs, isUtf8, isCatenate: false };
}

/** What follows a message: nothing, or another one. @returns true when another follows */
export function parseAppendTail(reader: CommandReader): boolean {
  if (reader.peek() === 0x20 && !/^ *$/.test(reader.text.slice(reader.position))) return true;
  reader.end();
  return false;
}
