// Changes of a mailbox in its index, behind those of peers. The caller holds the mutex: where a peer has replaced the files they are read first, and `state`
// is another object afterwards.

import type { Applied } from '../index/apply-record.js';
import type { CacheFile } from '../index/cache-file.js';
import type { IndexState } from '../index/index-state.js';
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

/** Logs records: at once, unless files have to be read anew. @returns what became of each of them, for all processes */
export function commit(box: Indexed, records: readonly Buffer[]): readonly Applied[] | Promise<readonly Applied[]> {
  const { state } = box;
  const applied = box.index.commit(records);
  return applied instanceof Promise ? following(box, state, applied) : applied;
}

/** Logs new messages. @param rows of the state as it is now */
export function addRows(box: Indexed, rows: NewRows): Promise<void> {
  return following(box, box.state, box.index.addRows(rows));
}

/** Brings in what peers wrote. @returns undefined when that has been done at once */
export function catchUp(box: Indexed): Promise<void> | undefined {
  if (box.index.catchUp()) box.changed();
  return box.index.needsReload ? reload(box) : undefined;
}

async function reload(box: Indexed): Promise<void> {
  for (let reloads = 0; box.index.needsReload && reloads < mostReloads; reloads += 1) await following(box, box.state, box.index.reload());
}

/** @param before the state that the work began with */
async function following<Result>(box: Indexed, before: IndexState, work: Promise<Result>): Promise<Result> {
  const result = await work;
  if (box.state !== before) {
    box.cache?.indexed(box.state);
    box.changed();
  }
  return result;
}
