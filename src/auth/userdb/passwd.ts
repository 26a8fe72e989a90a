// userdb { driver = passwd }: the users of this machine.
import type { Userdb, UserdbLookup } from '../database.js';
import type { PasswdFiles } from '../passwd-file.js';

/** @param path /etc/passwd */
export function passwdUserdb(path: string, files: PasswdFiles, uidRange: readonly [first: number, last: number]): Userdb {
  return {
    driver: 'passwd',
    cacheKey: undefined,
    async lookup(state): Promise<UserdbLookup> {
      const read = await files.read(path);
      if (read.kind !== 'entries') return { kind: 'internal', reason: read.kind === 'missing' ? `missing ${path}` : read.reason };
      const entry = read.entries.get(state.user);
      const { heldUntilMs } = read;
      if (!entry) return { kind: 'unknown', heldUntilMs };
      const { uid, gid, home } = entry;
      return {
        kind: 'found',
        fields: [
          ['system_groups_user', entry.user],
          ['uid', uid],
          ['gid', gid],
          ['home', home],
        ],
        heldUntilMs,
      };
    },
    list: () => listUsers(path, files, uidRange),
  };
}

async function* listUsers(path: string, files: PasswdFiles, [first, last]: readonly [number, number]): AsyncIterable<string> {
  const read = await files.read(path);
  if (read.kind !== 'entries') throw new Error(`cannot read ${path}`);
  for (const entry of read.entries.values()) {
    const uid = Number(entry.uid);
    if (uid >= first && (last === 0 || uid <= last)) yield entry.user;
  }
}
