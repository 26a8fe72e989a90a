import type { CommandReader, SequenceSet } from '../reader.js';

/** COPY and MOVE (RFC 9051 6.4.7, 6.4.8). */
export interface CopyCommand {
  readonly set: SequenceSet;
  readonly mailbox: string;
}

export function parseCopy(reader: CommandReader): CopyCommand {
  reader.space();
  const set = reader.sequenceSet();
  reader.space();
  const mailbox = reader.mailbox();
  reader.end();
  return { set, mailbox };
}
