// The times of cur/ and new/ around a change of our own, and what the index then knows of them.
import type { Stamps } from '../index/index-state.js';

/** mtimes of the two folders, ms. */
export interface FolderTimes {
  readonly newMtimeMs: number;
  readonly curMtimeMs: number;
}

/**
 * Stamps after a change. Where somebody else had changed a folder before, its old stamp stays, so that the next sync looks.
 * @param recheckAtMs when a folder that was changed is looked at again
 */
export function stampsAfter(stamps: Stamps, before: FolderTimes, after: FolderTimes, recheckAtMs: number): Stamps {
  const isNewKnown = before.newMtimeMs === stamps.newMtimeMs;
  const isCurKnown = before.curMtimeMs === stamps.curMtimeMs;
  return {
    newMtimeMs: isNewKnown ? after.newMtimeMs : stamps.newMtimeMs,
    newRecheckAtMs: isNewKnown && after.newMtimeMs !== before.newMtimeMs ? recheckAtMs : stamps.newRecheckAtMs,
    curMtimeMs: isCurKnown ? after.curMtimeMs : stamps.curMtimeMs,
    curRecheckAtMs: isCurKnown && after.curMtimeMs !== before.curMtimeMs ? recheckAtMs : stamps.curRecheckAtMs,
    uidList: stamps.uidList,
    keywordsFile: stamps.keywordsFile,
  };
}
