// REPLACE and UID REPLACE (RFC 8508): an APPEND that takes the place of a message.
import type { CommandReader } from '../reader.js';
import { isUrlLiteral } from './catenate.js';

/** True when a literal of REPLACE is the message rather than the mailbox name. */
export function isReplaceMessage(argumentsBefore: string, isFirst: boolean): boolean {
  if (isUrlLiteral(argumentsBefore)) return false;
  return !isFirst || !/^ +\S+ +~?\{\d+\+?\}$/.test(argumentsBefore);
}

/** The message to replace (sequence number, UID, or `*` as Infinity) and the target; the message follows as in APPEND. */
export function parseReplaceHead(reader: CommandReader): { readonly number: number; readonly mailbox: string } {
  reader.space();
  const number = reader.tryChar('*') ? Number.POSITIVE_INFINITY : reader.nonZeroNumber();
  reader.space();
  return { number, mailbox: reader.mailbox() };
}
