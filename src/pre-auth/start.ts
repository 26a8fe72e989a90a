// Drives a connection from accept to login: greeting, TLS, SASL relay, timers, log lines. Used by the login roles, which hand the client over, and
// by mail roles in direct mode, which serve it themselves.
import type { Duplex } from 'node:stream';
import type { AuthExchange, AuthMechanism, AuthStep } from '#auth/client.js';
import type { HandoffRequest, Peer } from '#ipc/peer.js';
import { closeWhenHeard } from '#service-kit/close-when-heard.js';
import { writeTo } from '#service-kit/parts-stream.js';
import type { AcceptedConnection, ClientHandle } from '#service-kit/role.js';
import type { Deadline } from '#util/deadlines.js';
import { type AttemptRecord, disconnectReason } from './disconnect-reason.js';
import { forwardedPeer } from './forwarded-peer.js';
import { ImapPreAuth } from './imap.js';
import { formatLoginLine, type LoginFacts, loginFields } from './login-log.js';
import type { PreAuthMachine, PreAuthNote, PreAuthStep } from './machine.js';
import { preAuthOffer } from './offer.js';
import type { PreAuthOptions } from './options.js';
import { Pop3PreAuth } from './pop3.js';
import { referralOf } from './referral.js';
import { makeSessionId } from './session-id.js';
import { loginSettings } from './settings.js';
import { whereNow } from './where-now.js';

/** Input that may wait while auth is asked. */
const maxWaitingBytes = 65_536;
/** A client that does not read its replies is gone. */
const maxUnsentBytes = 65_536;
/** Failed logins of one connection; each took auth_failure_delay. */
const maxFailures = 20;

/** Starts with the greeting (or the TLS handshake); the handle's `isPreAuth` turns false after login. */
export function startPreAuth(options: PreAuthOptions): ClientHandle {
  const session = new PreAuthSession(options);
  session.start();
  return session;
}

class PreAuthSession implements ClientHandle {
  readonly startedAtMs = Date.now();
  readonly #options: PreAuthOptions;
  readonly #machine: PreAuthMachine;
  readonly #sessionId: string;
  #stream: Duplex;
  #peer: Peer;
  #exchange: AuthExchange | undefined;
  /** A login whose last data the client has yet to acknowledge. */
  #unconfirmed: Extract<AuthStep, { kind: 'ok' }> | undefined;
  #isBusy = true;
  #isEnded = false;
  #isTaken = false;
  /** Between the decision for TLS and the end of the handshake: what is written now would be read as TLS records. */
  #isHandshaking = false;
  /** The process ends; the client is told once the handshake is over, or the hand-off if it fails. */
  #isStopping = false;
  #user = '';
  #method = '';
  #attempts = 0;
  #firstAttemptAtMs = 0;
  #failures = 0;
  #successes = 0;
  #lastFailure: AttemptRecord['lastFailure'];
  #lastNote: PreAuthNote | undefined;
  #phase: AttemptRecord['phase'] = 'waiting-for-auth';
  #phaseSinceMs = Date.now();
  #idle: Deadline | undefined;
  #notice: Deadline | undefined;
  readonly #onData = (chunk: Buffer): void => this.#receive(chunk);
  readonly #onEnd = (): void => this.#finish('Disconnected: Connection closed');
  readonly #onError = (error: Error): void => this.#finish(`Disconnected: Connection closed: ${error.message}`);

  constructor(options: PreAuthOptions) {
    this.#options = options;
    this.#machine = options.protocol === 'imap' ? new ImapPreAuth() : new Pop3PreAuth();
    this.#stream = options.returned?.stream ?? options.connection.socket;
    this.#peer = options.returned?.peer ?? options.connection.peer;
    const nowMicros = Date.now() * 1000 + Math.floor((performance.now() * 1000) % 1000);
    this.#sessionId = makeSessionId(this.#peer.remoteIp, this.#peer.remotePort, nowMicros);
  }

  get isPreAuth(): boolean {
    return !this.#isTaken && this.#phase !== 'finishing';
  }

  get title(): string {
    return `${this.#peer.remoteIp} pre-login`;
  }

  stop(reason: 'shutdown' | 'kicked' | 'queue-full'): void {
    if (this.#isEnded || this.#isTaken) return;
    this.#isStopping ||= reason === 'shutdown';
    // During the hand-off the stream belongs to somebody else; the mail process takes it, or the refusal ends it.
    if (this.#phase === 'finishing') return;
    if (this.#isHandshaking && reason === 'shutdown') {
      setTimeout(() => this.#finish('Disconnected: Shutting down'), handshakeGraceMs);
      return;
    }
    const texts = {
      shutdown: 'Server shutting down.',
      kicked: 'Disconnected by the administrator.',
      'queue-full': 'Connection queue full',
    } as const;
    this.#write(this.#machine.bye(reason === 'queue-full' ? texts[reason] : `[${this.#unavailableCode()}] ${texts[reason]}`));
    this.#finish(`Disconnected: ${reason === 'shutdown' ? 'Shutting down' : texts[reason]}`);
  }

  start(): void {
    this.#attach();
    this.#startIdleTimer();
    const { connection, authClient } = this.#options;
    const mechanisms = authClient.knownMechanisms;
    if (mechanisms !== undefined && !this.#beginsWithTls(connection)) this.#greet(mechanisms);
    else this.#begin().catch((error: unknown) => this.#fail(error));
  }

  async #begin(): Promise<void> {
    const { connection } = this.#options;
    if (this.#beginsWithTls(connection)) {
      if (!(await this.#upgrade(Buffer.alloc(0)))) return;
    }
    const mechanisms = await this.#options.authClient.mechanisms();
    if (!this.#isEnded) this.#greet(mechanisms);
  }

  #greet(mechanisms: readonly AuthMechanism[]): void {
    if (mechanisms.length === 0) {
      this.#write(this.#machine.bye(`[${this.#unavailableCode()}] Temporary authentication failure. [${whereNow()}]`));
      this.#finish('Disconnected: Auth process broken');
      return;
    }
    this.#machine.offer(preAuthOffer(this.#options.context.settings, this.#peer, mechanisms));
    if (this.#options.returned === undefined) this.#write(this.#machine.greeting());
    this.#isBusy = false;
    this.#setPhase('idle');
    this.#work();
  }

  #beginsWithTls({ listener, peer }: AcceptedConnection): boolean {
    return listener.isTls && !peer.tls && this.#options.returned === undefined;
  }

  #attach(): void {
    this.#stream.on('data', this.#onData);
    this.#stream.on('end', this.#onEnd);
    this.#stream.on('error', this.#onError);
    this.#stream.on('close', this.#onEnd);
  }

  /** The error listener stays: a stream without one would end the process. */
  #detach(stream: Duplex): void {
    stream.off('data', this.#onData);
    stream.off('end', this.#onEnd);
    stream.off('close', this.#onEnd);
    stream.pause();
  }

  #receive(chunk: Buffer): void {
    this.#machine.push(chunk);
    if (this.#isBusy) {
      if (this.#machine.size > maxWaitingBytes) this.#stream.pause();
      return;
    }
    this.#work();
  }

  /** Does what the buffered input asks for, until it needs more or somebody else is to be waited for. */
  #work(): void {
    while (!this.#isBusy && !this.#isEnded) {
      const step = this.#machine.next();
      if (step.kind === 'wait') return;
      this.#startIdleTimer();
      this.#take(step);
    }
  }

  #take(step: Exclude<PreAuthStep, { kind: 'wait' }>): void {
    switch (step.kind) {
      case 'reply':
        if (step.note) this.#noteAttempt(step.note);
        this.#write(step.text);
        return;
      case 'client-id':
        this.#peer = forwardedPeer(this.#peer, step.fields);
        this.#write(step.text);
        return;
      case 'starttls':
        this.#write(step.text);
        this.#isBusy = true;
        this.#startTls().catch((error: unknown) => this.#fail(error));
        return;
      case 'auth':
        this.#startAuth(step).catch((error: unknown) => this.#fail(error));
        return;
      case 'response':
        this.#continueAuth(step.octets).catch((error: unknown) => this.#fail(error));
        return;
      case 'abort':
        this.#exchange?.cancel();
        this.#exchange = undefined;
        this.#unconfirmed = undefined;
        this.#setPhase('idle');
        this.#noteAttempt(step.note);
        this.#write(step.text);
        return;
      case 'logout':
        this.#write(step.text);
        this.#finish('Aborted login by logging out');
        return;
      case 'end':
        this.#write(step.text);
        this.#finish(`Disconnected: ${step.reason}`);
    }
  }

  async #startTls(): Promise<void> {
    if (!(await this.#upgrade(this.#machine.takeRest()))) return;
    this.#machine.offer(preAuthOffer(this.#options.context.settings, this.#peer, await this.#options.authClient.mechanisms()));
    this.#resume();
  }

  /** @returns false when the connection ended */
  async #upgrade(buffered: Buffer): Promise<boolean> {
    const { context, connection, movesTls } = this.#options;
    this.#detach(this.#stream);
    this.#isHandshaking = true;
    try {
      const { stream, peer } = await context.startTls(connection, buffered, movesTls);
      if (this.#isEnded) {
        stream.destroy();
        return false;
      }
      this.#isHandshaking = false;
      this.#stream = stream;
      this.#peer = { ...peer, isSecured: true };
      this.#attach();
      if (this.#isStopping) this.stop('shutdown');
      return !this.#isEnded;
    } catch (error) {
      this.#finish(`Disconnected: TLS handshaking: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }

  async #startAuth(step: Extract<PreAuthStep, { kind: 'auth' }>): Promise<void> {
    this.#isBusy = true;
    this.#user = step.user;
    this.#method = step.mechanism;
    if (this.#attempts === 0) this.#firstAttemptAtMs = Date.now();
    this.#attempts += 1;
    this.#lastNote = undefined;
    this.#exchange = this.#options.authClient.begin({
      mechanism: step.mechanism,
      service: this.#machine.service,
      peer: this.#peer,
      sessionId: this.#sessionId,
      initialResponse: step.initialResponse,
      clientId: this.#machine.retainedId,
    });
    await this.#await(this.#exchange.next());
  }

  async #continueAuth(response: Buffer): Promise<void> {
    this.#isBusy = true;
    const confirmed = this.#unconfirmed;
    this.#unconfirmed = undefined;
    if (confirmed !== undefined) await this.#finishLogin(confirmed);
    else if (this.#exchange) await this.#await(this.#exchange.respond(response));
  }

  async #await(pending: Promise<AuthStep>): Promise<void> {
    this.#setPhase('authenticating');
    // The connection's own clock stands still: auth answers in time or is given up.
    this.#idle?.cancel();
    this.#notice = this.#options.clocks.notice.add(this);
    const step = await pending;
    this.#notice.cancel();
    if (this.#isEnded) return;
    this.#startIdleTimer();
    if (step.kind === 'continue') {
      this.#setPhase('in-exchange');
      this.#write(this.#machine.challenge(step.challenge));
      this.#resume();
    } else if (step.kind === 'fail') this.#refuse(step);
    else if (step.finalData !== undefined && step.finalData.length > 0) this.#sendFinalData(step, step.finalData);
    else await this.#finishLogin(step);
  }

  /**
   * Neither protocol has room for the mechanism's last words in its OK, so they go as one more challenge, which the client answers with an
   * empty line (RFC 4422 3.6, RFC 9051 6.2.2, RFC 5034 4).
   */
  #sendFinalData(step: Extract<AuthStep, { kind: 'ok' }>, finalData: Buffer): void {
    this.#exchange = undefined;
    this.#unconfirmed = step;
    this.#setPhase('in-exchange');
    this.#write(this.#machine.challenge(finalData));
    this.#resume();
  }

  #refuse(step: Extract<AuthStep, { kind: 'fail' }>, referral?: string): void {
    this.#exchange = undefined;
    this.#setPhase('idle');
    this.#lastFailure = step.code;
    this.#failures += 1;
    if (step.user !== undefined) this.#user = step.user;
    this.#write(this.#machine.authFailed(step.code, step.reason, whereNow(), referral));
    if (this.#failures < maxFailures) {
      this.#resume();
      return;
    }
    this.#write(this.#machine.bye('Too many failed authentications.'));
    this.#finish('Disconnected: Too many failed authentications');
  }

  async #finishLogin(step: Extract<AuthStep, { kind: 'ok' }>): Promise<void> {
    this.#exchange = undefined;
    this.#user = step.user;
    if ('nologin' in step.fields) {
      this.#refuse(
        { kind: 'fail', code: 'login_disabled', reason: step.fields['reason'], user: step.user },
        referralOf(this.#options.protocol, step.user, step.fields),
      );
      return;
    }
    this.#successes += 1;
    this.#setPhase('finishing');
    this.#idle?.cancel();
    const stream = this.#stream;
    stream.off('data', this.#onData);
    stream.pause();
    const request = this.#request(step);
    const result = await this.#options.onLogin(stream, this.#machine.takeRest(), request, step);
    if (this.#isEnded && result.kind === 'refused') return;
    if (result.kind === 'taken') {
      this.#isTaken = true;
      this.#isEnded = true;
      stream.off('end', this.#onEnd);
      stream.off('close', this.#onEnd);
      this.#log('Login', result.mailPid, step.fields['auth_user']);
      return;
    }
    this.#setPhase('idle');
    // It has not come to its end before the process.
    if (this.#isStopping && result.refusal !== 'user-limit') return this.stop('shutdown');
    this.#write(this.#machine.refusal(result.refusal, result.clientText));
    this.#finish(result.logText, result.refusal === 'user-limit');
  }

  #request(step: Extract<AuthStep, { kind: 'ok' }>): HandoffRequest {
    const passed: Record<string, string> = Object.assign({}, this.#machine.handoffFields());
    for (const name of ['roost_uid', 'roost_gid', 'auth_user']) {
      const value = step.fields[name];
      if (value !== undefined) passed[name] = value;
    }
    return {
      service: this.#options.protocol,
      user: step.user,
      authPid: step.authPid,
      authId: step.authId,
      cookie: step.cookie,
      loginPid: process.pid,
      claim: step.claim,
      sessionId: this.#sessionId,
      peer: this.#peer,
      origin: undefined,
      fields: passed,
    };
  }

  #resume(): void {
    if (this.#isEnded) return;
    this.#isBusy = false;
    if (this.#stream.isPaused()) this.#stream.resume();
    this.#work();
  }

  #unavailableCode(): string {
    return this.#options.protocol === 'imap' ? 'UNAVAILABLE' : 'SYS/TEMP';
  }

  #noteAttempt(note: PreAuthNote): void {
    if (this.#attempts === 0) this.#firstAttemptAtMs = Date.now();
    this.#attempts += 1;
    this.#lastNote = note;
  }

  #setPhase(phase: AttemptRecord['phase']): void {
    this.#phase = phase;
    this.#phaseSinceMs = Date.now();
  }

  #startIdleTimer(): void {
    this.#idle?.cancel();
    this.#idle = this.#options.clocks.idle.add(this);
  }

  /** It takes long until auth answers. */
  tellWaiting(): void {
    this.#write(this.#machine.stillWaiting());
  }

  /** No command came in time. */
  timeOut(): void {
    if (this.#isEnded) return;
    const text = this.#phase === 'in-exchange' ? 'Disconnected for inactivity during authentication.' : 'Disconnected for inactivity.';
    this.#write(this.#machine.bye(text));
    this.#finish('Disconnected: Inactivity');
  }

  #write(text: string): void {
    if (text === '' || this.#isHandshaking || !this.#stream.writable) return;
    writeTo(this.#stream, text);
    if (this.#stream.writableLength > maxUnsentBytes) this.#finish('Disconnected: Client does not read');
  }

  #fail(error: unknown): void {
    this.#options.context.log.error('login.failed', `Login session failed: ${error instanceof Error ? error.stack : String(error)}`, {
      error,
    });
    this.#finish('Disconnected: Internal error');
  }

  /**
   * Logs once, ends the stream after what was written, frees the slot.
   * @param isWholeReason the message says it all
   */
  #finish(message: string, isWholeReason = false): void {
    if (this.#isEnded) return;
    const record: AttemptRecord = {
      startedAtMs: this.startedAtMs,
      attempts: this.#attempts,
      firstAttemptAtMs: this.#firstAttemptAtMs,
      successes: this.#successes,
      lastFailure: this.#lastFailure,
      lastNote: this.#lastNote,
      phase: this.#phase,
      phaseSinceMs: this.#phaseSinceMs,
    };
    this.#isEnded = true;
    this.#idle?.cancel();
    this.#notice?.cancel();
    this.#exchange?.cancel();
    const reason = isWholeReason ? '' : disconnectReason(record, Date.now());
    this.#log(reason === '' ? message : `${message} (${reason})`, undefined, undefined);
    this.#closeStream();
  }

  #closeStream(): void {
    const { socket, release } = this.#options.connection;
    const stream = this.#stream;
    if (this.#isHandshaking) {
      // Nothing can be said, and the handshake's own reading must not be disturbed.
      socket.destroy();
      release();
      return;
    }
    this.#detach(stream);
    if (this.#isStopping) {
      // It may be logging in just now, which nobody knew: others have asked for the end, or were silent.
      void closeWhenHeard(stream).then(() => {
        socket.destroy();
        release();
      });
      return;
    }
    // What the client still sends is read and dropped, so that closing does not reset the connection under the last words.
    stream.resume();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => {
      clearTimeout(timer);
      release();
    });
    if (socket.destroyed) {
      clearTimeout(timer);
      release();
    } else if (stream.writable) stream.end(() => socket.destroySoon());
    else socket.destroy();
  }

  #log(message: string, mailPid: number | undefined, authUser: string | undefined): void {
    const facts: LoginFacts = {
      user: this.#user,
      method: this.#method,
      peer: this.#peer,
      sessionId: this.#sessionId,
      service: this.#options.protocol,
      mailPid,
      authUser: authUser ?? '',
      listener: this.#options.connection.listener.name,
    };
    const { log, settings } = this.#options.context;
    const text = formatLoginLine(settings.get(loginSettings), message, facts);
    const outcome = mailPid === undefined ? { attempts: this.#attempts, failure: this.#lastFailure } : { mailPid };
    log.info(mailPid === undefined ? 'session.pre-auth-end' : 'session.login', text, Object.assign({}, loginFields(facts), outcome));
  }
}

/** For a handshake under way when the process is to end, most of the grace time: one round trip or two, while new processes start everywhere. */
const handshakeGraceMs = 4_500;
/** A client has this long to take the last words. */
const lingerMs = 2000;
