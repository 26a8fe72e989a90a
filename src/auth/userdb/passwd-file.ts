// userdb { driver = passwd-file  args = [username_format=%u] /path/with/%d }
import type { Userdb, UserdbLookup } from '../database.js';
import { type Field, parseFieldList } from '../field-list.js';
import { findEntry, type PasswdFileArgs, type PasswdFileContext } from '../passwd-file-lookup.js';

export function passwdFileUserdb(args: PasswdFileArgs, context: PasswdFileContext): Userdb {
  return {
    driver: 'passwd-file',
    cacheKey: undefined,
    async lookup(state): Promise<UserdbLookup> {
      const found = await findEntry(args, context, state);
      if (found.kind !== 'entry') return found;
      const { uid, gid, home, extra } = found.entry;
      const fields: Field[] = [];
      if (uid !== '') fields.push(['uid', uid]);
      if (gid !== '') fields.push(['gid', gid]);
      if (home !== '') fields.push(['home', home]);
      for (const [name, value] of parseFieldList(extra)) {
        if (name.startsWith('userdb_')) fields.push([name.slice('userdb_'.length), context.expand(value, state)]);
      }
      return { kind: 'found', fields };
    },
    // Files per domain cannot be listed without knowing the domains.
    list: () => (args.path.includes('%') ? undefined : listFile(args.path, context)),
  };
}

async function* listFile(path: string, context: PasswdFileContext): AsyncIterable<string> {
  const read = await context.files.read(path);
  if (read.kind !== 'entries') throw new Error(read.kind === 'missing' ? `missing passwd file: ${path}` : read.reason);
  yield* read.entries.keys();
}
