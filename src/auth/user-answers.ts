// What auth answers to a question about a user.
import { LRUCache } from 'lru-cache';
import type { UserFields, UserLookup } from './client.js';
import { leaseParameter } from './interface.js';
import { parseId, parseParameters } from './tab-lines.js';

interface KnownUser {
  /** Of the answer. */
  readonly args: readonly string[];
  readonly user: UserFields;
}

/** Users whose fields were read lately: most answers are those that came before, to the letter. */
const keptUsers = 1_000;

export class UserAnswers {
  readonly #users = new LRUCache<string, KnownUser>({ max: keptUsers });

  /** @param args of the line, without the id and the lease */
  toLookup(command: string, args: readonly string[]): UserLookup {
    if (command === 'NOTFOUND') return { kind: 'unknown' };
    if (command === 'USER') return { kind: 'found', user: this.#toUser(args) };
    if (command === 'PASS') {
      const { user = '', ...fields } = Object.fromEntries(parseParameters(args));
      return { kind: 'found', user: { user, fields } };
    }
    const reason = args.find((arg) => arg.startsWith('reason='));
    return { kind: 'temp_fail', reason: reason?.slice('reason='.length) ?? 'auth refused the request' };
  }

  /** The same object for the same answer: only what auth says now decides, its text alone is known from before. */
  #toUser(args: readonly string[]): UserFields {
    const [user = '', ...rest] = args;
    const known = this.#users.get(user);
    if (known !== undefined && known.args.length === args.length && known.args.every((arg, index) => arg === args[index]))
      return known.user;
    const made = { user, fields: Object.fromEntries(parseParameters(rest)) };
    this.#users.set(user, { args, user: made });
    return made;
  }
}

/** Takes the lease off an answer; 0 where there is none. */
export function takeLease(args: readonly string[]): { readonly leaseMs: number; readonly rest: readonly string[] } {
  const last = args.at(-1);
  if (last === undefined || !last.startsWith(`${leaseParameter}=`)) return { leaseMs: 0, rest: args };
  return { leaseMs: parseId(last.slice(leaseParameter.length + 1)) ?? 0, rest: args.slice(0, -1) };
}
