// Giving up root, for processes that need supplementary groups: Node's spawn can set a user and a group, but takes the other groups away.

export interface BecomesUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/**
 * For good: nothing of the old identity is left.
 * @throws the system error when this is not allowed; the process must then end
 */
export function becomeUser({ uid, gid, groups }: BecomesUser): void {
  if (process.setgroups === undefined || process.setgid === undefined || process.setuid === undefined) {
    throw new Error('this platform has no users to change to');
  }
  process.setgroups([...groups]);
  process.setgid(gid);
  process.setuid(uid);
}
