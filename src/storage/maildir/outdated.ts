// Whether a mailbox has to be looked at again: see reconcile.ts for the rules.
import type { NamedFile } from '#util/file-status.js';
import { type FileStamp, type IndexState, noStamp } from '../index/index-state.js';
import { isSameStamp, stampOf } from './file-calls.js';

/** What of a box decides. */
export interface LookedAt {
  readonly state: IndexState;
  readonly keywordsFile: NamedFile;
  readonly list: { stamp(): FileStamp };
  readonly options: { readonly veryDirtySyncs: boolean };
  folderTimes(): { readonly newMtimeMs: number; readonly curMtimeMs: number };
}

export interface Outdated {
  readonly inNew: boolean;
  readonly inCur: boolean;
  readonly list: boolean;
  readonly keywords: boolean;
}

/** What has to be read again; undefined: nothing. Three or four stats. */
export function findOutdated(box: LookedAt, nowMs = Date.now()): Outdated | undefined {
  const { stamps } = box.state;
  const times = box.folderTimes();
  const inNew = times.newMtimeMs !== stamps.newMtimeMs || (stamps.newRecheckAtMs !== 0 && nowMs >= stamps.newRecheckAtMs);
  const inCur = times.curMtimeMs !== stamps.curMtimeMs || (stamps.curRecheckAtMs !== 0 && nowMs >= stamps.curRecheckAtMs);
  // A mailbox seen for the first time may have no list to differ from none.
  const list = box.state.uidValidity === 0 || stamps.uidList.inode === 0 || !isSameStamp(box.list.stamp(), stamps.uidList);
  const keywords = !isSameStamp(stampOf(box.keywordsFile) ?? noStamp, stamps.keywordsFile);
  if (!inNew && !inCur && !list && !keywords) return undefined;
  const deferCur = box.options.veryDirtySyncs && stamps.curMtimeMs !== 0 && !list && !keywords;
  if (deferCur && !inNew) return undefined;
  return { inNew, inCur: inCur && !deferCur, list, keywords };
}
