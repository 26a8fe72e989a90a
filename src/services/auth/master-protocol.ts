// One connection of the auth master protocol v1.1: mail processes claim logins and look up users, roostadm lists users and flushes the cache.
// A `userdb` socket is open to other users of the machine; it answers USER and LIST only, and only what concerns the caller.
import type { AuthChain } from '#auth/chain.js';
import { matchesGlob } from '#auth/database.js';
import { factsFromParameters, leaseParameter, leasesVoid, masterProtocol } from '#auth/interface.js';
import { type AuthState, newAuthState } from '#auth/request.js';
import { parseId, parseParameters, TabLines } from '#auth/tab-lines.js';
import { normalizeUsername, type UsernameRules } from '#auth/username.js';
import type { VerifiedPasswords } from '#auth/verified-passwords.js';
import { encodeTabLine } from '#ipc/tab-escape.js';
import type { Logger } from '#log/logger.js';
import type { ProtocolSink } from './client-connection.js';
import type { FinishedRequests } from './finished-requests.js';
import type { LeaseHolder, Leases } from './leases.js';

const maxRunning = 10_000;

export interface MasterConnectionContext {
  readonly chain: AuthChain;
  readonly usernames: UsernameRules;
  readonly expand: (template: string, state: AuthState) => string;
  readonly finished: FinishedRequests;
  /** Undefined: every answer has to be asked for (no cache). */
  readonly leases: Leases | undefined;
  readonly verified: VerifiedPasswords | undefined;
  /** Forgets what was looked up, of all users or of these, and ends all leases. @returns entries of the cache that went */
  readonly flush: (users: readonly string[]) => Promise<number>;
  readonly log: Logger;
}

/** Who may ask on this connection. */
export type MasterAccess =
  | { readonly kind: 'full' }
  | { readonly kind: 'userdb' }
  /** USER and LIST, only for users of this uid. */
  | { readonly kind: 'own'; readonly uid: number };

export class MasterConnection implements LeaseHolder {
  readonly #context: MasterConnectionContext;
  readonly #sink: ProtocolSink;
  readonly #access: MasterAccess;
  readonly #lines = new TabLines();
  #hasVersion = false;
  #running = 0;
  #isEnded = false;

  constructor(context: MasterConnectionContext, sink: ProtocolSink, access: MasterAccess) {
    this.#context = context;
    this.#sink = sink;
    this.#access = access;
    this.#send('VERSION', String(masterProtocol.major), String(masterProtocol.minor));
    this.#send('SPID', String(process.pid));
  }

  /** Requests not answered yet. */
  get openRequests(): number {
    return this.#running;
  }

  receive(chunk: Buffer): void {
    if (this.#isEnded) return;
    const lines = this.#lines.push(chunk);
    if (lines === 'too-long') {
      this.#break('line too long');
      return;
    }
    for (const line of lines) {
      if (this.#isEnded) return;
      this.#takeLine(line);
    }
  }

  close(): void {
    this.#isEnded = true;
    this.#context.leases?.drop(this);
  }

  voidLeases(flush: number): void {
    this.#send(leasesVoid, String(flush));
  }

  #takeLine([command = '', ...args]: readonly string[]): void {
    if (command === 'VERSION') {
      if (args[0] === String(masterProtocol.major)) this.#hasVersion = true;
      else this.#break(`unsupported protocol version ${args[0] ?? ''}`);
      return;
    }
    if (!this.#hasVersion) {
      this.#break(`${command} before VERSION`);
      return;
    }
    const id = parseId(args[0]);
    if (command === 'CPID') return;
    if (id === undefined) {
      this.#break(`${command} without id`);
      return;
    }
    if (command === leasesVoid) {
      this.#context.leases?.acknowledged(this, id);
      return;
    }
    if (this.#running >= maxRunning) {
      this.#send('FAIL', String(id), 'reason=Too many requests');
      return;
    }
    const work = this.#workFor(command, id, args.slice(1));
    if (!work) {
      this.#break(`command ${command} is not allowed here`);
      return;
    }
    void this.#finish(command, id, work);
  }

  async #finish(command: string, id: number, work: Promise<void>): Promise<void> {
    this.#running += 1;
    try {
      await work;
    } catch (error) {
      this.#context.log.error('auth.master.failed', `${command} failed: ${error instanceof Error ? error.message : String(error)}`, {
        error,
      });
      if (command === 'LIST') this.#send('DONE', String(id), 'fail');
      else this.#send('FAIL', String(id));
    } finally {
      this.#running -= 1;
    }
  }

  #workFor(command: string, id: number, args: readonly string[]): Promise<void> | undefined {
    if (command === 'USER') return this.#user(id, args);
    if (command === 'LIST') return this.#list(id, args);
    if (this.#access.kind !== 'full') return undefined;
    if (command === 'REQUEST') return this.#request(id, args);
    if (command === 'PASS') return this.#pass(id, args);
    if (command === 'CACHE-FLUSH') return this.#flush(id, args);
    return undefined;
  }

  /** REQUEST id client-pid auth-id cookie. */
  async #request(id: number, [pid, authId, cookie = '']: readonly string[]): Promise<void> {
    const loginPid = parseId(pid);
    const requestId = parseId(authId);
    const found =
      loginPid === undefined || requestId === undefined ? undefined : this.#context.finished.claim({ cookie, loginPid, authId: requestId });
    if (found) this.#sendUser(id, found.user, found.fields);
    else {
      this.#context.log.error(
        'auth.master.unknown-request',
        `Master requested auth for nonexistent client id ${requestId ?? '?'} of pid ${loginPid ?? '?'}`,
      );
      this.#send('FAIL', String(id), 'reason=No such authentication request');
    }
  }

  async #user(id: number, [name = '', ...rest]: readonly string[]): Promise<void> {
    const state = this.#stateFor(name, rest);
    if (!state) {
      this.#send('NOTFOUND', String(id));
      return;
    }
    const { leases } = this.#context;
    const flushes = leases?.flushes ?? 0;
    const found = await this.#context.chain.lookupUser(state);
    if (found.kind === 'internal') {
      this.#send('FAIL', String(id), 'reason=Internal error occurred. Refer to server log for more information.');
      return;
    }
    if (found.kind === 'unknown') {
      this.#send('NOTFOUND', String(id));
      return;
    }
    if (this.#access.kind === 'own' && found.fields.get('uid') !== String(this.#access.uid)) {
      this.#context.log.error(
        'auth.userdb.refused',
        `userdb lookup of ${state.user} by uid ${this.#access.uid} refused: uid ${found.fields.get('uid') ?? 'unknown'}`,
      );
      this.#send('FAIL', String(id), 'reason=Permission denied');
      return;
    }
    // Whoever has gone meanwhile would never say that he has heard of a flush.
    if (this.#isEnded) return;
    const leaseMs = rest.includes(leaseParameter) ? (leases?.grant(this, state.heldUntilMs, flushes) ?? 0) : undefined;
    this.#sendUser(id, state.user, found.fields, leaseMs);
  }

  /** PASS id user service=...: passdb fields without a password check. */
  async #pass(id: number, [name = '', ...rest]: readonly string[]): Promise<void> {
    const state = this.#stateFor(name, rest);
    if (!state) {
      this.#send('NOTFOUND', String(id));
      return;
    }
    const outcome = await this.#context.chain.authenticate(state, { kind: 'exists' });
    if (outcome === 'unknown') {
      this.#send('NOTFOUND', String(id));
      return;
    }
    if (outcome !== 'ok') {
      this.#send('FAIL', String(id));
      return;
    }
    const fields = [...state.extraFields, ...[...state.userdbFields].map(([key, value]) => [`userdb_${key}`, value] as const)];
    this.#send('PASS', String(id), `user=${state.user}`, ...fields.map(([key, value]) => (value === '' ? key : `${key}=${value}`)));
  }

  /** LIST id [user=mask]. */
  async #list(id: number, args: readonly string[]): Promise<void> {
    const mask = parseParameters(args).get('user') || '*';
    for await (const user of this.#context.chain.list()) {
      if (this.#isEnded) return;
      if (matchesGlob(mask, user) && (await this.#mayList(user))) this.#send('LIST', String(id), user);
    }
    this.#send('DONE', String(id));
  }

  async #mayList(user: string): Promise<boolean> {
    if (this.#access.kind !== 'own') return true;
    const state = newAuthState(factsFromParameters(new Map(), ''), user);
    const found = await this.#context.chain.lookupUser(state);
    return found.kind === 'found' && found.fields.get('uid') === String(this.#access.uid);
  }

  async #flush(id: number, users: readonly string[]): Promise<void> {
    this.#context.verified?.clear();
    const count = await this.#context.flush(users);
    this.#context.log.info('auth.cache.flushed', `${count} cache entries flushed`, { count });
    this.#send('OK', String(id), String(count));
  }

  #stateFor(name: string, rest: readonly string[]): AuthState | undefined {
    const state = newAuthState(factsFromParameters(parseParameters(rest), ''), '', name);
    const normal = normalizeUsername(this.#context.usernames, name, state, this.#context.expand);
    if (normal.kind === 'refused') {
      this.#context.log.info('auth.user.refused', normal.reason);
      return undefined;
    }
    state.user = normal.user;
    return state;
  }

  /** @param leaseMs goes last, where no field of the user's can be taken for it */
  #sendUser(id: number, user: string, fields: ReadonlyMap<string, string>, leaseMs?: number): void {
    const lease = leaseMs === undefined ? [] : [`${leaseParameter}=${leaseMs}`];
    this.#send('USER', String(id), user, ...[...fields].map(([name, value]) => `${name}=${value}`), ...lease);
  }

  #send(...fields: string[]): void {
    if (!this.#isEnded) this.#sink.write(encodeTabLine(fields));
  }

  #break(reason: string): void {
    this.#context.log.error('auth.master.protocol-error', `Auth master client broke the protocol: ${reason}`);
    this.close();
    this.#sink.end();
  }
}
