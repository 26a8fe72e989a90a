// Changes of a mailbox in its index, behind those of peers. The caller holds the mutex: where a peer has replaced the files they are read first, and `state`
// is another object afterwards.
import type { CacheFile } from '../index/cache-file.js';
import type { IndexState } from '../index/index-state.js';
import type { Applied } from '../index/log-record.js';
import type { MailboxIndex } from '../index/mailbox-index.js';
import type { NewRows } from '../index/new-rows.js';

/** Times in a row that the index is read because it has been replaced; then it is as new as need be. */
const mostReloads = 100;

/** What of a box is needed. */
export interface Indexed {
  readonly index: MailboxIndex;
  readonly state: IndexState;
  readonly cache: CacheFile | undefined;
  changed(): void;
}

/** Logs records. @returns what became of each of them, for all processes */
export function commit(box: Indexed, records: readonly Buffer[]): Promise<readonly Applied[]> {
  return following(box, () => box.index.commit(records));
}

/** Logs new messages. @param rows of the state as it is now */
export function addRows(box: Indexed, rows: NewRows): Promise<void> {
  return following(box, () => box.index.addRows(rows));
}

/** Brings in what peers wrote. */
export async function catchUp(box: Indexed): Promise<void> {
  if (box.index.catchUp()) box.changed();
  for (let reloads = 0; box.index.needsReload && reloads < mostReloads; reloads += 1) await following(box, () => box.index.reload());
}

async function following<Result>(box: Indexed, work: () => Promise<Result>): Promise<Result> {
  const { state } = box;
  const result = await work();
  if (box.state !== state) {
    box.cache?.indexed(box.state);
    box.changed();
  }
  return result;
}
