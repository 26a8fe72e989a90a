// passdb { driver = static  args = nopassword=y | password=secret  [field=value ...] }: every user has the same password.
import type { Passdb } from '../database.js';
import { parseFieldList } from '../field-list.js';
import type { AuthState } from '../request.js';

/** @param expand fills in %variables for this user */
export function staticPassdb(args: string, expand: (template: string, state: AuthState) => string): Passdb {
  const fields = parseFieldList(args);
  return {
    driver: 'static',
    cacheKey: undefined,
    lookup(state) {
      const expanded = fields.map(([name, value]) => [name, expand(value, state)] as const);
      const password = expanded.find(([name]) => name === 'password')?.[1] ?? '';
      return {
        kind: 'found',
        password,
        defaultScheme: 'PLAIN',
        fields: expanded.filter(([name]) => name !== 'password'),
        heldUntilMs: Number.POSITIVE_INFINITY,
      };
    },
  };
}
