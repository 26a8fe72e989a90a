// The passdb and userdb chains: databases in the order of the file, joined by their result_* rules.
//
// Rules (Dovecot 2.3): `continue` goes on and remembers that the password was right, but not that the login is accepted; `continue-ok` and
// `continue-fail` set or clear acceptance; the `return` family stops. A disabled user or an expired password always stops. Fields of a database
// that failed are taken back; those of one that succeeded stay for the next ones.
import type { Logger } from '#log/logger.js';
import { matchesUsernameFilter, type PassdbEntry, type ResultRule, type UserdbEntry, type UserdbLookup } from './database.js';
import { holdUntil } from './held.js';
import type { PassdbOutcome, UserdbOutcome } from './outcome.js';
import type { PassdbChecker, PasswordCheck } from './passdb-check.js';
import { type AuthState, newAuthState, type RequestFacts, restoreSnapshot, takeSnapshot } from './request.js';
import type { SystemUsers } from './system-users.js';
import type { UserdbReader } from './userdb-read.js';

export interface ChainOptions {
  readonly log: Logger;
  readonly passdbs: readonly PassdbEntry[];
  readonly userdbs: readonly UserdbEntry[];
  readonly checker: PassdbChecker;
  readonly reader: UserdbReader;
  readonly systemUsers: SystemUsers;
  /** auth_verbose: say why a login failed. */
  readonly isVerbose: boolean;
}

/** A finished authentication; `authz` when the master user was right but may not be (or cannot become) the wanted user. */
export type AuthenticationOutcome = PassdbOutcome | 'authz';

export type UserFieldsOutcome =
  | { readonly kind: 'found'; readonly fields: ReadonlyMap<string, string> }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'internal' };

interface ChainRun {
  isAccepted: boolean;
  isVerified: boolean;
  sawInternal: boolean;
  sawMismatch: boolean;
  last: PassdbOutcome;
}

export class AuthChain {
  readonly #options: ChainOptions;

  constructor(options: ChainOptions) {
    this.#options = options;
  }

  /** Runs the passdbs; with `requestedUser` set, the master passdbs first. */
  async authenticate(state: AuthState, check: PasswordCheck): Promise<AuthenticationOutcome> {
    const normal = this.#options.passdbs.filter(({ rules }) => !rules.isMaster);
    if (state.requestedUser !== '') return this.#authenticateMaster(state, check, normal);
    const outcome = await this.#runPassdbs(normal, state, check, false);
    if (outcome === 'ok' && state.requestedUser !== '') becomeRequestedUser(state);
    return outcome;
  }

  /** Whether a passdb knows the user, for userdbs that cannot tell. */
  async exists(state: AuthState): Promise<'yes' | 'no' | 'unsure'> {
    const normal = this.#options.passdbs.filter(({ rules }) => !rules.isMaster && !rules.isDeny);
    const copy = newAuthState(state.facts, state.user, state.originalUser);
    const outcome = await this.#runPassdbs(normal, copy, { kind: 'exists' }, false);
    holdUntil(state, copy.heldUntilMs);
    if (outcome === 'internal' || outcome === 'next') return 'unsure';
    return outcome === 'unknown' ? 'no' : 'yes';
  }

  /** Runs the userdbs for `state.user`; uid and gid come back as numbers. `state.heldUntilMs` tells how long the answer holds. */
  async lookupUser(state: AuthState): Promise<UserFieldsOutcome> {
    let isFound = false;
    let sawInternal = false;
    // What passdb said in userdb_* fields is prefetch's answer, and nobody else's.
    let collected = new Map<string, string>();
    for (const entry of this.#options.userdbs) {
      const { rules } = entry;
      if ((rules.skip === 'found' && isFound) || (rules.skip === 'notfound' && !isFound)) continue;
      if (!matchesUsernameFilter(rules.usernameFilter, state.user)) continue;
      const read = this.#options.reader.read(entry, state);
      // Each wait that is none costs a turn of the microtasks, and most deliveries ask.
      const lookup = read instanceof Promise ? await read : read;
      holdUntil(state, lookup.kind === 'internal' ? undefined : lookup.heldUntilMs);
      const attempt = new Map(collected);
      const outcome =
        lookup.kind === 'found'
          ? await this.#takeUserFields(entry, state, lookup, attempt)
          : toUserdbOutcome(lookup, entry, this.#options.log);
      if (outcome === 'internal') sawInternal = true;
      const rule = outcome === 'found' ? rules.resultSuccess : outcome === 'internal' ? rules.resultInternalFail : rules.resultFailure;
      if (outcome === 'found') collected = attempt;
      if (rule === 'return-ok' || rule === 'continue-ok') isFound = true;
      if (rule === 'return-fail' || rule === 'continue-fail') isFound = false;
      if (rule.startsWith('return')) break;
    }
    if (!isFound) return { kind: sawInternal ? 'internal' : 'unknown' };
    state.userdbFields = collected;
    return { kind: 'found', fields: collected };
  }

  /** Every user of every userdb that can list. Ends with an error when one fails, or when none can list. */
  async *list(): AsyncIterable<string> {
    const seen = new Set<string>();
    let canList = false;
    for (const { database } of this.#options.userdbs) {
      const users = database.list();
      if (!users) continue;
      canList = true;
      for await (const user of users) {
        if (!seen.has(user)) {
          seen.add(user);
          yield user;
        }
      }
    }
    if (!canList) throw new Error("Trying to iterate users, but userdbs don't support it");
  }

  async #authenticateMaster(state: AuthState, check: PasswordCheck, normal: readonly PassdbEntry[]): Promise<AuthenticationOutcome> {
    const masters = this.#options.passdbs.filter(({ rules }) => rules.isMaster);
    if (masters.length === 0) {
      this.#options.log.info(
        'auth.master.none',
        `${describe(state)}: Attempted master login with no master passdbs (trying to log in as user: ${state.requestedUser})`,
      );
      return 'mismatch';
    }
    let outcome: PassdbOutcome = 'mismatch';
    for (const entry of masters) {
      if (!applies(entry, state, false)) continue;
      const snapshot = takeSnapshot(state);
      outcome = await this.#options.checker.check(entry, state, check);
      if (outcome !== 'ok') {
        restoreSnapshot(state, snapshot);
        if (outcome === 'disabled' || outcome === 'expired' || stops(entry, outcome)) break;
        continue;
      }
      becomeRequestedUser(state);
      this.#options.log.info('auth.master.login', `${describe(state)}: Master user logging in as ${state.user}`, {
        user: state.user,
        masterUser: state.masterUser,
      });
      // `pass = yes`: the wanted user must be known to the other passdbs too, and their fields count.
      if (!entry.rules.resultSuccess.startsWith('continue')) return 'ok';
      const target = await this.#runPassdbs(normal, state, check, true);
      return target === 'mismatch' || target === 'unknown' ? 'authz' : target;
    }
    return outcome;
  }

  async #runPassdbs(entries: readonly PassdbEntry[], state: AuthState, check: PasswordCheck, isVerified: boolean): Promise<PassdbOutcome> {
    const run: ChainRun = { isAccepted: false, isVerified, sawInternal: false, sawMismatch: false, last: 'unknown' };
    for (const entry of entries) {
      if (!applies(entry, state, run.isAccepted)) continue;
      const snapshot = takeSnapshot(state);
      const outcome = await this.#options.checker.check(entry, state, run.isVerified ? { kind: 'exists' } : check);
      if (entry.rules.isDeny) {
        restoreSnapshot(state, snapshot);
        if (outcome === 'unknown') continue;
        if (outcome === 'internal') return 'internal';
        this.#explain(state, 'User found from deny passdb');
        return 'disabled';
      }
      run.last = outcome;
      if (outcome !== 'ok') {
        this.#explain(state, explanation(outcome, state));
        restoreSnapshot(state, snapshot);
      }
      if (outcome === 'disabled' || outcome === 'expired') return outcome;
      if (this.#follow(entry, outcome, run) === 'stop') break;
    }
    return this.#conclude(state, run);
  }

  #follow(entry: PassdbEntry, outcome: PassdbOutcome, run: ChainRun): 'stop' | 'next' {
    if (outcome === 'internal') run.sawInternal = true;
    if (outcome === 'mismatch') run.sawMismatch = true;
    const rule = ruleFor(entry, outcome);
    switch (rule) {
      case 'return':
        return 'stop';
      case 'return-ok':
        run.isAccepted = true;
        return 'stop';
      case 'return-fail':
        run.isAccepted = false;
        return 'stop';
      case 'continue':
        if (outcome === 'ok') run.isVerified = true;
        return 'next';
      case 'continue-ok':
        run.isAccepted = true;
        run.isVerified = true;
        return 'next';
      case 'continue-fail':
        run.isAccepted = false;
        return 'next';
    }
  }

  #conclude(state: AuthState, run: ChainRun): PassdbOutcome {
    if (run.isAccepted) {
      state.refusal = undefined;
      return 'ok';
    }
    if (run.last === 'next') {
      this.#options.log.error(
        'auth.chain.noauthenticate',
        `${describe(state)}: Last passdb had noauthenticate field, cannot authenticate user`,
      );
      return 'internal';
    }
    if (run.sawInternal) return 'internal';
    if (state.refusal) return state.refusal.outcome;
    if (run.last === 'ok') return 'mismatch';
    return run.sawMismatch ? 'mismatch' : run.last;
  }

  async #takeUserFields(
    { rules, database }: UserdbEntry,
    state: AuthState,
    lookup: Extract<UserdbLookup, { kind: 'found' }>,
    into: Map<string, string>,
  ): Promise<UserdbOutcome> {
    const expand = this.#options.reader.expand;
    const all = [
      ...rules.defaultFields.map(([name, value]) => [name, expand(value, state)] as const),
      ...lookup.fields,
      ...rules.overrideFields.map(([name, value]) => [name, expand(value, state)] as const),
    ];
    for (const [name, value] of all) {
      const asked =
        name === 'uid'
          ? this.#options.systemUsers.uidOf(value, state)
          : name === 'gid'
            ? this.#options.systemUsers.gidOf(value, state)
            : undefined;
      const number = asked instanceof Promise ? await asked : asked;
      if ((name === 'uid' || name === 'gid') && number === undefined) {
        this.#options.log.error('auth.userdb.bad-id', `${database.driver}(${state.user}): Invalid ${name}: ${value}`, { user: state.user });
        return 'internal';
      }
      if (name === 'user') state.user = value;
      else into.set(name, number === undefined ? value : String(number));
    }
    return 'found';
  }

  #explain(state: AuthState, text: string): void {
    if (this.#options.isVerbose) this.#options.log.info('auth.failed', `${describe(state)}: ${text}`, { user: state.user });
  }
}

/** `user,rip,<session>` as in Dovecot's auth lines. */
export function describe(state: AuthState): string {
  const { remoteIp, sessionId } = state.facts;
  return [state.user === '' ? '?' : state.user, remoteIp, sessionId === '' ? '' : `<${sessionId}>`].filter((part) => part !== '').join(',');
}

function becomeRequestedUser(state: AuthState): void {
  state.masterUser = state.user;
  state.user = state.requestedUser;
  state.requestedUser = '';
}

function ruleFor({ rules }: PassdbEntry, outcome: PassdbOutcome): ResultRule {
  if (outcome === 'ok') return rules.resultSuccess;
  if (outcome === 'internal') return rules.resultInternalFail;
  return outcome === 'next' ? 'continue' : rules.resultFailure;
}

const stops = (entry: PassdbEntry, outcome: PassdbOutcome): boolean => ruleFor(entry, outcome).startsWith('return');

function applies({ rules }: PassdbEntry, state: AuthState, isAccepted: boolean): boolean {
  if (rules.skip === 'authenticated' && isAccepted) return false;
  if (rules.skip === 'unauthenticated' && !isAccepted) return false;
  const mechanism: RequestFacts['mechanism'] = state.facts.mechanism === '' ? 'NONE' : state.facts.mechanism;
  if (rules.mechanisms.length > 0 && !rules.mechanisms.includes(mechanism)) return false;
  return matchesUsernameFilter(rules.usernameFilter, state.user);
}

function explanation(outcome: Exclude<PassdbOutcome, 'ok'>, state: AuthState): string {
  if (state.refusal) return state.refusal.logText;
  const texts: Readonly<Record<Exclude<PassdbOutcome, 'ok'>, string>> = {
    mismatch: 'Password mismatch',
    unknown: 'unknown user',
    disabled: 'user is disabled',
    expired: 'password expired',
    internal: 'internal failure',
    next: 'noauthenticate is set',
    'scheme-not-available': 'stored password does not fit the mechanism',
  };
  return texts[outcome];
}

function toUserdbOutcome(lookup: Exclude<UserdbLookup, { kind: 'found' }>, { database }: UserdbEntry, log: Logger): UserdbOutcome {
  if (lookup.kind === 'internal') log.error('auth.userdb.failed', `${database.driver}: ${lookup.reason}`);
  return lookup.kind;
}
