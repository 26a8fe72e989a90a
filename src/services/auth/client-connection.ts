// One connection of the auth client protocol v1.2, as login processes, Postfix and Exim speak it.
//
// The server greets (VERSION, MECH..., SPID, CUID, COOKIE, DONE); the client answers VERSION and CPID, then sends AUTH, CONT and CANCEL. A peer
// that breaks the protocol itself is cut off; a request that fails gets FAIL.
import { randomBytes } from 'node:crypto';
import { type ClaimSealer, claimLifetimeMs } from '#auth/claim-token.js';
import { authRequestTimeoutMs, clientProtocol, factsFromParameters } from '#auth/interface.js';
import { type Penalties, penaltyDelayMs } from '#auth/penalty.js';
import type { AuthState, RequestFacts } from '#auth/request.js';
import { decodeBase64, parseId, parseParameters, TabLines } from '#auth/tab-lines.js';
import type { CountName } from '#ipc/counts.js';
import { encodeTabLine } from '#ipc/tab-escape.js';
import type { Logger } from '#log/logger.js';
import type { SaslMechanism } from '#sasl/mechanism.js';
import { maxResponseBytes } from '#sasl/mechanism.js';
import { findMechanism } from '#sasl/mechanisms.js';
import { CellMap } from '#util/cell-map.js';
import { Exchange, type ExchangeContext, type ExchangeStep } from './exchange.js';
import type { FailureDelay } from './failure-delay.js';
import type { FinishedRequests } from './finished-requests.js';

/** Requests of one connection that may be open at a time; a login process has one per client. */
const maxOpenRequests = 50_000;
/** Half a line of the protocol. */
const maxClaimCharacters = 8_192;
/** Beside it in the same line. */
const maxAgainCharacters = 4_096;

export interface ClientConnectionContext {
  readonly exchange: ExchangeContext;
  readonly mechanisms: readonly SaslMechanism[];
  readonly failures: FailureDelay;
  readonly finished: FinishedRequests;
  /** Undefined: successes are kept, and claimed. */
  readonly claims?: ClaimSealer | undefined;
  /** How long a process that serves its own clients may repeat a success, ms; 0: not at all. */
  readonly keepMs?: number;
  readonly penalties: Penalties | undefined;
  readonly log: Logger;
  readonly requiresClientCert: boolean;
  /** Told of each answer. */
  readonly count?: ((name: CountName) => void) | undefined;
  /** Seam for tests; setTimeout otherwise. */
  readonly delay: (ms: number, then: () => void) => { cancel(): void };
}

/** The octet side, so that a test needs no socket. */
export interface ProtocolSink {
  write(text: string): void;
  /** Ends the connection after what was written. */
  end(): void;
}

interface OpenRequest {
  readonly id: number;
  readonly facts: RequestFacts;
  exchange: Exchange | undefined;
  /** A step is under way: a CONT now breaks the protocol. */
  isBusy: boolean;
  /** Cancelled or timed out: the result of a running step is dropped. */
  isGone: boolean;
  /** AUTH had `nologin`: nobody will claim it. */
  readonly isLoginless: boolean;
  /** AUTH had `roost_claim`: the login is sealed into the answer. */
  readonly takesClaim: boolean;
  /** AUTH had `roost_again`: one for logins that follow is sealed as well. */
  readonly takesClaimAgain: boolean;
  penalty: number;
  tried: string;
  timeout: { cancel(): void } | undefined;
}

export class ClientConnection {
  readonly #context: ClientConnectionContext;
  readonly #sink: ProtocolSink;
  readonly #isLogin: boolean;
  readonly #lines = new TabLines();
  readonly #open = new CellMap<number, OpenRequest>();
  readonly #cookie = randomBytes(16).toString('hex');
  #hasVersion = false;
  #clientPid: number | undefined;
  #isEnded = false;

  /**
   * @param isLogin a login socket: successes wait to be claimed, and the answer names uid and gid
   * @param connectionId unique in this process
   */
  constructor(context: ClientConnectionContext, sink: ProtocolSink, isLogin: boolean, connectionId: number) {
    this.#context = context;
    this.#sink = sink;
    this.#isLogin = isLogin;
    this.#send('VERSION', String(clientProtocol.major), String(clientProtocol.minor));
    for (const { name, flags } of context.mechanisms) this.#send('MECH', name, ...flags);
    this.#send('SPID', String(process.pid));
    this.#send('CUID', String(connectionId));
    this.#send('COOKIE', this.#cookie);
    this.#send('DONE');
  }

  /** Requests not answered yet. */
  get openRequests(): number {
    return this.#open.size;
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

  /** The peer is gone, or the process ends. */
  close(): void {
    this.#isEnded = true;
    for (const [, request] of this.#open.entries()) this.#drop(request);
  }

  #takeLine(fields: readonly string[]): void {
    const [command = '', ...args] = fields;
    if (this.#context.log.isDebug) this.#context.log.debug('auth.client.in', `client in: ${maskLine(command, args)}`);
    if (command === 'VERSION') {
      if (args[0] === String(clientProtocol.major)) this.#hasVersion = true;
      else this.#break(`unsupported protocol version ${args[0] ?? ''}`);
    } else if (!this.#hasVersion) this.#break(`${command} before VERSION`);
    else if (command === 'CPID') this.#takePid(args[0]);
    else if (this.#clientPid === undefined) this.#break(`${command} before CPID`);
    else if (command === 'AUTH') this.#takeAuth(args, this.#clientPid);
    else if (command === 'CONT') this.#takeContinuation(args);
    else if (command === 'CANCEL') this.#takeCancel(args);
    else this.#context.log.warning('auth.client.unknown-command', `Auth client sent unknown command ${command.slice(0, 32)}`);
  }

  #takePid(text: string | undefined): void {
    const pid = parseId(text);
    if (pid === undefined || pid === 0) this.#break('invalid CPID');
    else if (this.#clientPid !== undefined) this.#break('CPID sent twice');
    else this.#clientPid = pid;
  }

  #takeAuth(args: readonly string[], clientPid: number): void {
    const id = parseId(args[0]);
    const name = args[1];
    if (id === undefined || name === undefined) {
      this.#break('invalid AUTH');
      return;
    }
    if (this.#open.has(id)) {
      this.#break(`duplicate request id ${id}`);
      return;
    }
    const respAt = args.findIndex((arg) => arg.startsWith('resp='));
    // resp= is last by rule; what follows would have been read by a laxer server as part of it.
    if (respAt >= 0 && respAt !== args.length - 1) {
      this.#break('parameters after resp=');
      return;
    }
    const parameters = parseParameters(args.slice(2, respAt < 0 ? undefined : respAt));
    if (!parameters.get('service')) {
      this.#break('AUTH without service');
      return;
    }
    const facts = factsFromParameters(parameters, name.toUpperCase());
    const request: OpenRequest = {
      id,
      facts,
      exchange: undefined,
      isBusy: true,
      isGone: false,
      isLoginless: parameters.has('nologin'),
      takesClaim: parameters.has('roost_claim'),
      takesClaimAgain: parameters.has('roost_again'),
      penalty: 0,
      tried: respAt < 0 ? '' : (args[respAt] ?? ''),
      timeout: undefined,
    };
    const mechanism = this.#context.mechanisms.find((offered) => offered.name === facts.mechanism);
    if (this.#open.size >= maxOpenRequests) {
      this.#sendFailure(request, { code: 'temp_fail', reason: 'Too many requests' });
      return;
    }
    if (!mechanism) {
      this.#refuseMechanism(request);
      return;
    }
    if (this.#context.requiresClientCert && !facts.hasValidClientCert) {
      this.#sendFailure(request, { code: 'mismatch', reason: 'Client certificate required' });
      return;
    }
    const response = respAt < 0 ? undefined : decodeBase64((args[respAt] ?? '').slice('resp='.length));
    if (respAt >= 0 && (response === undefined || response.length > maxResponseBytes)) {
      this.#sendFailure(request, { code: 'invalid_base64', reason: 'Invalid base64 data in initial response' });
      return;
    }
    this.#open.set(id, request);
    request.timeout = this.#context.delay(authRequestTimeoutMs, () => this.#timeOut(request));
    request.exchange = new Exchange(this.#context.exchange, facts, mechanism);
    void this.#afterPenalty(request, () => this.#run(request, response, clientPid));
  }

  #refuseMechanism(request: OpenRequest): void {
    const isKnown = findMechanism(request.facts.mechanism) !== undefined;
    this.#context.log.info('auth.mechanism.unsupported', `Unsupported authentication mechanism ${request.facts.mechanism.slice(0, 32)}`, {
      isKnown,
    });
    this.#sendFailure(request, { code: 'auth_mech_invalid', reason: 'Unsupported authentication mechanism.' });
  }

  /** Waits as long as the client's penalty says before the first step. */
  async #afterPenalty(request: OpenRequest, then: () => void): Promise<void> {
    const { penalties, delay } = this.#context;
    if (penalties && !request.facts.isPenaltyFree) request.penalty = await penalties.current(request.facts.remoteIp).catch(() => 0);
    const waitMs = penaltyDelayMs(request.penalty);
    if (waitMs === 0) then();
    else delay(waitMs, then);
  }

  #takeContinuation(args: readonly string[]): void {
    const id = parseId(args[0]);
    const request = id === undefined ? undefined : this.#open.get(id);
    // An answer to a request that has timed out meanwhile is no fault of the client.
    if (!request) return;
    if (request.isBusy) {
      this.#break(`CONT for request ${request.id} without a challenge`);
      return;
    }
    const response = decodeBase64(args[1] ?? '');
    if (response === undefined || response.length > maxResponseBytes) {
      this.#drop(request);
      this.#sendFailure(request, { code: 'invalid_base64', reason: 'Invalid base64 data in continued response' });
      return;
    }
    request.isBusy = true;
    request.tried = args[1] ?? '';
    this.#run(request, response, this.#clientPid ?? 0);
  }

  #takeCancel(args: readonly string[]): void {
    const id = parseId(args[0]);
    const request = id === undefined ? undefined : this.#open.get(id);
    if (request) this.#drop(request);
  }

  #run(request: OpenRequest, response: Buffer | undefined, clientPid: number): void {
    if (request.isGone) return;
    const step = request.exchange?.step(response);
    if (!step) return;
    step.then(
      (result) => this.#finishStep(request, result, clientPid),
      (error: unknown) => this.#context.log.error('auth.request.failed', `Authentication request failed: ${String(error)}`, { error }),
    );
  }

  async #finishStep(request: OpenRequest, step: ExchangeStep, clientPid: number): Promise<void> {
    if (request.isGone) return;
    if (step.kind === 'continue') {
      request.isBusy = false;
      this.#send('CONT', String(request.id), step.challenge.toString('base64'));
      return;
    }
    if (step.kind === 'fail') {
      this.#drop(request);
      this.#failLate(request, step);
      return;
    }
    await this.#succeed(request, step.state, step.finalData, clientPid);
  }

  async #succeed(request: OpenRequest, state: AuthState, finalData: Buffer | undefined, clientPid: number): Promise<void> {
    const claimable = this.#isLogin && !request.isLoginless;
    const extra: string[] = [];
    for (const [name, value] of state.extraFields) extra.push(value === '' ? name : `${name}=${value}`);
    if (claimable) {
      const found = await this.#context.exchange.chain.lookupUser(state);
      if (request.isGone) return;
      if (found.kind !== 'found') {
        const text = `userdb(${state.user}): ${found.kind === 'unknown' ? 'user not found from any userdbs' : 'lookup failed'}`;
        this.#context.log.error('auth.userdb.missing', text, { user: state.user });
        this.#drop(request);
        this.#sendFailure(request, { code: 'temp_fail', reason: undefined, user: state.user });
        return;
      }
      const fields = new Map(found.fields);
      if (state.masterUser !== '') fields.set('auth_user', state.masterUser);
      const claim = request.takesClaim ? this.#seal(request, state.user, fields, clientPid) : undefined;
      if (claim === undefined) {
        this.#context.finished.add({ cookie: this.#cookie, loginPid: clientPid, authId: request.id }, { user: state.user, fields });
      } else extra.push(`roost_claim=${claim}`);
      const { keepMs = 0 } = this.#context;
      // What depends on the moment, or speaks for somebody else, is asked for each time.
      if (keepMs > 0 && claim !== undefined && state.masterUser === '' && state.delayUntilMs === 0) {
        extra.push(`roost_keep=${keepMs}`);
        const again = request.takesClaimAgain
          ? this.#sealAgain(request, { user: state.user, fields, loginPid: clientPid }, keepMs)
          : undefined;
        if (again !== undefined) extra.push(`roost_again=${again}`);
      }
      // For the master's choice of a process; login processes only.
      for (const name of ['uid', 'gid']) if (fields.has(name)) extra.push(`roost_${name}=${fields.get(name)}`);
    }
    this.#drop(request);
    this.#context.penalties?.succeeded(request.facts.isPenaltyFree ? '' : request.facts.remoteIp, request.penalty);
    if (state.masterUser !== '') extra.push(`auth_user=${state.masterUser}`);
    if (finalData) extra.push(`resp=${finalData.toString('base64')}`);
    this.#context.count?.('auth-ok');
    const reply = (): void => this.#send('OK', String(request.id), `user=${state.user}`, ...extra);
    const waitMs = state.delayUntilMs === 0 ? 0 : Math.min(state.delayUntilMs - Date.now(), authRequestTimeoutMs);
    if (waitMs > 0) this.#context.delay(waitMs, reply);
    else reply();
  }

  /** Undefined when auth was started without keys, or the login is too large for a line of the protocol. */
  #seal({ id, facts }: OpenRequest, user: string, fields: ReadonlyMap<string, string>, loginPid: number): string | undefined {
    const claim = this.#context.claims?.seal({
      user,
      service: facts.service,
      loginPid,
      authId: id,
      sessionId: facts.sessionId,
      fields: Object.fromEntries(fields),
      untilMs: Date.now() + claimLifetimeMs,
    });
    return claim === undefined || claim.length > maxClaimCharacters ? undefined : claim;
  }

  /** Undefined as above. */
  #sealAgain(
    { facts }: OpenRequest,
    { user, fields, loginPid }: { readonly user: string; readonly fields: ReadonlyMap<string, string>; readonly loginPid: number },
    keepMs: number,
  ): string | undefined {
    const untilMs = Date.now() + keepMs + claimLifetimeMs;
    const again = this.#context.claims?.sealAgain({ user, service: facts.service, loginPid, fields: Object.fromEntries(fields), untilMs });
    return again === undefined || again.length > maxAgainCharacters ? undefined : again;
  }

  #failLate(request: OpenRequest, step: Extract<ExchangeStep, { kind: 'fail' }>): void {
    const reply = (): void => this.#sendFailure(request, step);
    if (!request.facts.isPenaltyFree && step.code === 'mismatch') {
      this.#context.penalties?.failed(request.facts.remoteIp, request.penalty, `${step.user ?? ''}\0${request.tried}`);
    }
    if (step.isNoDelay) reply();
    else this.#context.failures.add(reply);
  }

  #sendFailure(
    request: OpenRequest,
    failure: { readonly code: string; readonly reason: string | undefined; readonly user?: string | undefined },
  ): void {
    this.#context.count?.(failure.code === 'temp_fail' ? 'auth-temporary' : 'auth-failed');
    const fields = ['FAIL', String(request.id)];
    if (failure.user !== undefined) fields.push(`user=${failure.user}`);
    if (failure.reason !== undefined) fields.push(`reason=${failure.reason}`);
    // The bare word is what clients before 2.3 look for.
    if (failure.code === 'temp_fail') fields.push('temp');
    if (failure.code !== 'mismatch') fields.push(`code=${failure.code}`);
    this.#send(...fields);
  }

  #timeOut(request: OpenRequest): void {
    if (request.isGone) return;
    this.#drop(request);
    this.#sendFailure(request, { code: 'temp_fail', reason: 'Request timed out' });
  }

  #drop(request: OpenRequest): void {
    request.isGone = true;
    request.timeout?.cancel();
    this.#open.take(request.id);
  }

  #send(...fields: string[]): void {
    if (this.#context.log.isDebug)
      this.#context.log.debug('auth.client.out', `client passdb out: ${maskLine(fields[0] ?? '', fields.slice(1))}`);
    if (!this.#isEnded) this.#sink.write(encodeTabLine(fields));
  }

  #break(reason: string): void {
    this.#context.log.error('auth.client.protocol-error', `Auth client broke the protocol: ${reason}`, { clientPid: this.#clientPid });
    this.close();
    this.#sink.end();
  }
}

/** A line for the debug log: what a client sent to prove itself is hidden, and what lets it in later. */
function maskLine(command: string, args: readonly string[]): string {
  const shown = args.map((arg, index) => {
    const secret = /^(?:resp|roost_claim|roost_again)=/.exec(arg);
    if (secret !== null) return `${secret[0]}<hidden>`;
    return command === 'COOKIE' || (command === 'CONT' && index === 1) ? '<hidden>' : arg;
  });
  return [command, ...shown].join(' ').slice(0, 1000);
}
