// userdb { driver = static  args = uid=vmail gid=vmail home=/var/vmail/%u [allow_all_users=yes] }
import type { Userdb, UserdbLookup } from '../database.js';
import { isYes, parseFieldList } from '../field-list.js';
import type { AuthState } from '../request.js';

export interface StaticUserdbContext {
  readonly expand: (template: string, state: AuthState) => string;
  /**
   * Whether any passdb knows the user: the template itself fits everybody, so mail for unknown users would be accepted. Tells the state how
   * long that holds.
   */
  readonly existsInPassdb: (state: AuthState) => Promise<'yes' | 'no' | 'unsure'>;
}

export function staticUserdb(args: string, context: StaticUserdbContext): Userdb {
  const all = parseFieldList(args);
  const allowsAll = isYes(all.find(([name]) => name === 'allow_all_users')?.[1]);
  const fields = all.filter(([name]) => name !== 'allow_all_users');
  return {
    driver: 'static',
    cacheKey: undefined,
    async lookup(state): Promise<UserdbLookup> {
      // A mechanism means that the user has just authenticated.
      if (!allowsAll && state.facts.mechanism === '') {
        const exists = await context.existsInPassdb(state);
        if (exists === 'no') return { kind: 'unknown', heldUntilMs: Number.POSITIVE_INFINITY };
        if (exists === 'unsure') {
          return {
            kind: 'internal',
            reason: 'static userdb: the passdb cannot tell whether the user exists (allow_all_users=yes accepts everybody)',
          };
        }
      }
      // The template itself never changes; what the passdbs said is in the state.
      const heldUntilMs = Number.POSITIVE_INFINITY;
      return { kind: 'found', fields: fields.map(([name, value]) => [name, context.expand(value, state)]), heldUntilMs };
    },
    list: () => undefined,
  };
}
