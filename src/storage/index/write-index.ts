// Both files of an index, written anew from its state (docs/index-format.md).
import { renameSync } from 'node:fs';
import type { FilePermissions } from '#util/file-permissions.js';
import { bootId } from './boot-id.js';
import { type OpenLog, openLog, writeParts } from './index-files.js';
import type { IndexState } from './index-state.js';
import { encodeLogHeader, logHeaderBytes } from './log-reader.js';
import { encodeSnapshot } from './snapshot.js';

/**
 * Writes a snapshot of the state and an empty log, and puts them into place, the snapshot first. The caller holds roost.index.lock.
 * @param logId of the new log
 * @returns the log, opened, and the size of the snapshot in octets
 * @throws system errors
 */
export function writeIndex(
  folder: string,
  state: IndexState,
  logId: number,
  permissions: FilePermissions,
): { readonly log: OpenLog; readonly snapshotBytes: number } {
  const logPath = `${folder}/roost.index.log`;
  const snapshotPath = `${folder}/roost.index`;
  const parts = encodeSnapshot(state, { logId, offset: logHeaderBytes }, bootId());
  writeParts(`${snapshotPath}.tmp`, parts, permissions);
  writeParts(`${logPath}.tmp`, [encodeLogHeader(logId, bootId())], permissions);
  renameSync(`${snapshotPath}.tmp`, snapshotPath);
  renameSync(`${logPath}.tmp`, logPath);
  const log = openLog(logPath);
  if (log === undefined) throw new Error(`${logPath} is gone`);
  return { log, snapshotBytes: parts.reduce((sum, part) => sum + part.length, 0) };
}
