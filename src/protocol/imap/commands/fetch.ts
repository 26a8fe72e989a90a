import { type FetchItem, parseFetchItems } from '../fetch-item.js';
import type { CommandReader, SequenceSet } from '../reader.js';
import { type PartialRange, parsePartialRange } from './search.js';

export interface FetchCommand {
  readonly set: SequenceSet;
  readonly items: readonly FetchItem[];
  /** RFC 7162 CHANGEDSINCE. */
  readonly changedSince: number | undefined;
  /** RFC 7162 VANISHED: report what was expunged since then. */
  readonly vanished: boolean;
  /** RFC 9394 3.2: this part of the messages that the rest of the command names. */
  readonly partial: PartialRange | undefined;
}

/** FETCH (RFC 9051 6.4.5, RFC 7162 3.1.4.1, 3.2.6, RFC 9394 3.2). */
export function parseFetch(reader: CommandReader, isUid: boolean): FetchCommand {
  reader.space();
  const set = reader.sequenceSet();
  reader.space();
  const items = parseFetchItems(reader);
  let changedSince: number | undefined;
  let vanished = false;
  let partial: PartialRange | undefined;
  if (reader.trySpace()) {
    reader.list(() => {
      const name = reader.word();
      if (name === 'CHANGEDSINCE') {
        reader.space();
        changedSince = reader.modSeq();
      } else if (name === 'PARTIAL') {
        if (partial !== undefined) reader.fail('PARTIAL may be given once');
        reader.space();
        partial = parsePartialRange(reader);
      } else if (name === 'VANISHED') vanished = true;
      else reader.fail(`Unknown FETCH modifier ${name}`);
    });
  }
  reader.end();
  if (vanished && (!isUid || changedSince === undefined)) reader.fail('VANISHED needs UID FETCH with CHANGEDSINCE');
  if (partial !== undefined && !isUid) reader.fail('PARTIAL needs UID FETCH');
  return { set, items, changedSince, vanished, partial };
}
