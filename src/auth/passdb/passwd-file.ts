// passdb { driver = passwd-file  args = [scheme=X] [username_format=%u] /path/with/%d }
import type { Passdb, PassdbLookup } from '../database.js';
import { type Field, parseFieldList } from '../field-list.js';
import { findEntry, type PasswdFileArgs, type PasswdFileContext } from '../passwd-file-lookup.js';

/** libpam-pwdfile's `password[NN]` endings. */
const pamSchemes: Readonly<Record<string, string>> = { '13': 'DES-CRYPT', '34': 'PLAIN-MD5', '56': 'DIGEST-MD5' };

export function passwdFilePassdb(args: PasswdFileArgs, context: PasswdFileContext): Passdb {
  return {
    driver: 'passwd-file',
    cacheKey: undefined,
    async lookup(state): Promise<PassdbLookup> {
      const found = await findEntry(args, context, state);
      if (found.kind !== 'entry') return found;
      const { entry } = found;
      const fields: readonly Field[] = parseFieldList(entry.extra).map(([name, value]) => [name, context.expand(value, state)]);
      const pam = /^(.*)\[(13|34|56)\]$/.exec(entry.password);
      return {
        kind: 'found',
        password: pam ? (pam[1] ?? '') : entry.password,
        defaultScheme: pam ? (pamSchemes[pam[2] ?? ''] ?? 'CRYPT') : args.scheme,
        fields,
        heldUntilMs: found.heldUntilMs,
      };
    },
  };
}
