import { type FetchItem, parseFetchItems } from '../fetch-item.js';
import type { CommandReader, SequenceSet } from '../reader.js';

export interface FetchCommand {
  readonly set: SequenceSet;
  readonly items: readonly FetchItem[];
  /** RFC 7162 CHANGEDSINCE. */
  readonly changedSince: number | undefined;
  /** RFC 7162 VANISHED: report what was expunged since then. */
  readonly vanished: boolean;
}

/** FETCH (RFC 9051 6.4.5, RFC 7162 3.1.4.1, 3.2.6). */
export function parseFetch(reader: CommandReader, isUid: boolean): FetchCommand {
  reader.space();
  const set = reader.sequenceSet();
  reader.space();
  const items = parseFetchItems(reader);
  let changedSince: number | undefined;
  let vanished = false;
  if (reader.trySpace()) {
    reader.list(() => {
      const name = reader.word();
      if (name === 'CHANGEDSINCE') {
        reader.space();
        changedSince = reader.modSeq();
      } else if (name === 'VANISHED') vanished = true;
      else reader.fail(`Unknown FETCH modifier ${name}`);
    });
  }
  reader.end();
  if (vanished && (!isUid || changedSince === undefined)) reader.fail('VANISHED needs UID FETCH with CHANGEDSINCE');
  return { set, items, changedSince, vanished };
}
