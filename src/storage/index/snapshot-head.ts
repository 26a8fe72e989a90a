// Whose snapshot a file is, without reading all of it.
import { closeSync, fstatSync, openSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { readRange } from './log-reader.js';
import { parseSnapshotHeader, snapshotHeaderBytes } from './snapshot.js';

/** UIDVALIDITY of a snapshot; undefined when there is none that this version can read. @throws system errors */
export function snapshotUidValidity(path: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return parseSnapshotHeader(readRange(fd, 0, snapshotHeaderBytes), fstatSync(fd).size)?.uidValidity;
  } finally {
    closeSync(fd);
  }
}
