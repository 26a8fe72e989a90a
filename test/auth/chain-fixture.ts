// A chain over databases that the test plays.
import type { AuthCache } from '#auth/auth-cache.js';
import { AuthChain } from '#auth/chain.js';
import type { DatabaseRules, PassdbEntry, PassdbLookup, UserdbEntry, UserdbLookup } from '#auth/database.js';
import { PassdbChecker } from '#auth/passdb-check.js';
import { PasswdFiles } from '#auth/passwd-file.js';
import { type AuthState, newAuthState, noFacts, type RequestFacts } from '#auth/request.js';
import { SystemUsers } from '#auth/system-users.js';
import { UserdbReader } from '#auth/userdb-read.js';
import { silentLogger } from '#log/logger.js';

export const facts: RequestFacts = { ...noFacts, mechanism: 'PLAIN', service: 'imap', remoteIp: '10.0.0.9' };

export function rules(id: number, changes: Partial<DatabaseRules> = {}): DatabaseRules {
  return {
    id,
    driver: 'fake',
    args: '',
    defaultFields: [],
    overrideFields: [],
    resultSuccess: 'return-ok',
    resultFailure: 'continue',
    resultInternalFail: 'continue',
    skip: 'never',
    mechanisms: [],
    usernameFilter: [],
    isDeny: false,
    isMaster: false,
    where: 'roost.conf:1',
    ...changes,
  };
}

export const unknown = { kind: 'unknown' } as const;
export const broken = { kind: 'internal', reason: 'down' } as const;
export const found = (password: string, ...fields: (readonly [string, string])[]): PassdbLookup => ({
  kind: 'found',
  password,
  defaultScheme: 'PLAIN',
  fields,
});

export function passdb(
  id: number,
  lookup: (state: AuthState) => PassdbLookup | Promise<PassdbLookup>,
  changes: Partial<DatabaseRules> = {},
  cacheKey?: string,
): PassdbEntry {
  return { rules: rules(id, changes), database: { driver: 'fake', cacheKey, lookup } };
}

export function userdb(
  id: number,
  lookup: (state: AuthState) => UserdbLookup | Promise<UserdbLookup>,
  changes: Partial<DatabaseRules> = {},
  cacheKey?: string,
): UserdbEntry {
  return { rules: rules(id, changes), database: { driver: 'fake', cacheKey, lookup, list: () => undefined } };
}

export interface ChainOptions {
  readonly passdbs?: readonly PassdbEntry[];
  readonly userdbs?: readonly UserdbEntry[];
  readonly cache?: AuthCache;
}

/** Templates know %u only. */
const expand = (template: string, state: AuthState): string => template.replaceAll('%u', state.user);

export function makeChain({ passdbs = [], userdbs = [], cache }: ChainOptions): AuthChain {
  const files = new PasswdFiles({ log: silentLogger, nowMs: Date.now });
  return new AuthChain({
    log: silentLogger,
    passdbs,
    userdbs,
    checker: new PassdbChecker({ log: silentLogger, cache, verified: undefined, expand }),
    reader: new UserdbReader(cache, expand),
    systemUsers: new SystemUsers({ files, nowMs: Date.now }),
    isVerbose: false,
  });
}

/** Logs in and tells the outcome. */
export async function login(chain: AuthChain, password: string, user = 'bob'): Promise<string> {
  return chain.authenticate(newAuthState(facts, user), { kind: 'password', password });
}
