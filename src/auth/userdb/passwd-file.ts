// userdb { driver = passwd-file  args = [username_format=%u] /path/with/%d }
import type { Userdb, UserdbLookup } from '../database.js';
import { type Field, parseFieldList } from '../field-list.js';
import { type EntryLookup, findEntry, type PasswdFileArgs, type PasswdFileContext } from '../passwd-file-lookup.js';
import type { AuthState } from '../request.js';

export function passwdFileUserdb(args: PasswdFileArgs, context: PasswdFileContext): Userdb {
  return {
    driver: 'passwd-file',
    cacheKey: undefined,
    lookup(state) {
      const found = findEntry(args, context, state);
      return found instanceof Promise ? found.then((entry) => fieldsOf(entry, context, state)) : fieldsOf(found, context, state);
    },
    // Files per domain cannot be listed without knowing the domains.
    list: () => (args.path.includes('%') ? undefined : listFile(args.path, context)),
  };
}

function fieldsOf(found: EntryLookup, context: PasswdFileContext, state: AuthState): UserdbLookup {
  if (found.kind !== 'entry') return found;
  const { uid, gid, home, extra } = found.entry;
  const fields: Field[] = [];
  if (uid !== '') fields.push(['uid', uid]);
  if (gid !== '') fields.push(['gid', gid]);
  if (home !== '') fields.push(['home', home]);
  for (const [name, value] of extra === '' ? [] : parseFieldList(extra)) {
    if (name.startsWith('userdb_')) fields.push([name.slice('userdb_'.length), context.expand(value, state)]);
  }
  return { kind: 'found', fields, heldUntilMs: found.heldUntilMs };
}

async function* listFile(path: string, context: PasswdFileContext): AsyncIterable<string> {
  const read = await context.files.read(path);
  if (read.kind !== 'entries') throw new Error(read.kind === 'missing' ? `missing passwd file: ${path}` : read.reason);
  yield* read.entries.keys();
}
