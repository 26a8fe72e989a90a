import type { CommandReader, SequenceSet } from '../reader.js';

export interface ExpungeCommand {
  /** UID EXPUNGE (RFC 4315) names the messages; plain EXPUNGE takes all that are marked. */
  readonly set: SequenceSet | undefined;
}

export function parseExpunge(reader: CommandReader, isUid: boolean): ExpungeCommand {
  let set: SequenceSet | undefined;
  if (isUid) {
    reader.space();
    set = reader.sequenceSet();
  }
  reader.end();
  return { set };
}
