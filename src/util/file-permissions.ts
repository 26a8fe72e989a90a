// Mode and group of files that stand in a shared folder: those of the folder, whatever the umask and the groups of the process are, so that everybody
// who may use the folder may use the files (Dovecot gives its own files in a mailbox the same).
import { fchmodSync, fchownSync, statSync } from 'node:fs';
import { errnoOf } from './coded-error.js';

export interface FilePermissions {
  /** Bits of a file, without those to execute. */
  readonly mode: number;
  /** Undefined: the group that a new file has anyway. */
  readonly gid: number | undefined;
}

export const privatePermissions: FilePermissions = { mode: 0o600, gid: undefined };

/** What files in this folder are to have. Bounded: one stat. A folder that is not there gives private ones. */
export function permissionsIn(folder: string): FilePermissions {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (stat === undefined) return privatePermissions;
  // Who may use the folder only as its owner needs no group; a set-gid folder passes its group on by itself.
  const hasGroup = (stat.mode & 0o070) !== 0 && (stat.mode & 0o2000) === 0 && stat.gid !== process.getegid?.();
  return { mode: 0o600 | (stat.mode & 0o066), gid: hasGroup ? stat.gid : undefined };
}

/** Gives an open file what the umask and our own group have not given it. A group that is not ours is left, without the bits meant for it. */
export function givePermissions(fd: number, { mode, gid }: FilePermissions): void {
  if (mode === 0o600 && gid === undefined) return;
  try {
    if (gid !== undefined) fchownSync(fd, -1, gid);
    fchmodSync(fd, mode);
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error;
    fchmodSync(fd, mode & ~0o070);
  }
}
