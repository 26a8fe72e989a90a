// AuthClient over the auth client protocol: one connection to the auth socket, many exchanges at once, reconnecting by itself.
import { createConnection, type Socket } from 'node:net';
import { encodeTabLine } from '#ipc/tab-escape.js';
import type { Logger } from '#log/logger.js';
import { CellMap } from '#util/cell-map.js';
import { type Deadline, Deadlines } from '#util/deadlines.js';
import type { AuthClient, AuthExchange, AuthMechanism, AuthRequest, AuthStep } from './client.js';
import { authReplyTimeoutMs, clientProtocol, failureFromParameters, peerParameters } from './interface.js';
import { decodeBase64, parseId, parseParameters, TabLines } from './tab-lines.js';

const firstRetryMs = 100;
const lastRetryMs = 5_000;
/** How long a client may wait for the auth process to come up before it hears of a temporary failure. */
const connectPatienceMs = 30_000;

export interface AuthConnectionOptions {
  /** UNIX socket: `base_dir/login/login`. */
  readonly path: string;
  readonly log: Logger;
  /** Logins are to be sealed, not kept at auth to be claimed. */
  readonly takesClaims?: boolean;
  /** Of logins that may be repeated, a seal for those that follow is wanted as well. */
  readonly repeats?: boolean;
  /** Client process id, unique per connection to auth; the mail process names it when it claims the login. */
  readonly clientPid?: number;
}

interface Handshake {
  mechanisms: AuthMechanism[];
  serverPid: number;
  cookie: string;
}

interface Pending {
  readonly settle: (step: AuthStep) => void;
  readonly deadline: Deadline;
  /** An AUTH line that was sent once and not answered: it may be sent again when the connection is lost. */
  readonly resend: string | undefined;
}

type Waiter = (ready: Handshake | undefined) => void;

const late: AuthStep = { kind: 'fail', code: 'temp_fail', reason: 'Authentication server did not answer in time', user: undefined };
const temporary: AuthStep = { kind: 'fail', code: 'temp_fail', reason: undefined, user: undefined };

/** Starts connecting at once, so that the mechanisms are there when the first client comes. */
export function connectAuth(options: AuthConnectionOptions): AuthClient {
  return new AuthConnection(options);
}

class AuthConnection implements AuthClient {
  readonly #options: AuthConnectionOptions;
  readonly #clientPid: number;
  #socket: Socket | undefined;
  #lines = new TabLines();
  #greeting: Handshake = { mechanisms: [], serverPid: 0, cookie: '' };
  #ready: Handshake | undefined;
  /** Kept while reconnecting: the offer rarely changes, and a greeting should not wait. */
  #lastMechanisms: readonly AuthMechanism[] | undefined;
  #waiters: Waiter[] = [];
  readonly #pending = new CellMap<number, Pending>();
  readonly #deadlines = new Deadlines<{ readonly id: number }>(authReplyTimeoutMs, ({ id }) => {
    this.#pending.get(id)?.settle(late);
    this.#cancel(id);
  });
  /** Exchanges of this connection in which the client has to answer. */
  readonly #challenged = new Set<number>();
  #nextId = 1;
  #retryMs = firstRetryMs;
  #retryTimer: NodeJS.Timeout | undefined;
  #outgoing = '';
  #isClosed = false;
  #isFailureLogged = false;

  constructor(options: AuthConnectionOptions) {
    this.#options = options;
    this.#clientPid = options.clientPid ?? process.pid;
    this.#connect();
  }

  get knownMechanisms(): readonly AuthMechanism[] | undefined {
    return this.#lastMechanisms;
  }

  async mechanisms(): Promise<readonly AuthMechanism[]> {
    if (this.#lastMechanisms) return this.#lastMechanisms;
    const ready = await this.#whenReady();
    return ready?.mechanisms ?? [];
  }

  begin(request: AuthRequest): AuthExchange {
    let id: number | undefined;
    let isCancelled = false;
    const start = (ready: Handshake | undefined): Promise<AuthStep> => {
      if (!ready || isCancelled) return Promise.resolve(temporary);
      id = this.#allocateId();
      const fields = ['AUTH', String(id), request.mechanism.toUpperCase(), `service=${request.service}`, ...peerParameters(request.peer)];
      fields.push(`session=${request.sessionId}`);
      if (request.clientId !== undefined) fields.push(`client_id=${request.clientId}`);
      if (this.#options.takesClaims === true) fields.push('roost_claim');
      if (this.#options.repeats === true) fields.push('roost_again');
      if (request.initialResponse !== undefined) fields.push(`resp=${request.initialResponse.toString('base64')}`);
      const line = encodeTabLine(fields);
      const step = this.#expect(id, line);
      this.#send(line);
      return step;
    };
    return {
      next: () => (this.#ready === undefined ? this.#whenReady().then(start) : start(this.#ready)),
      respond: (response) => {
        if (id === undefined || !this.#challenged.delete(id)) return Promise.resolve(temporary);
        const step = this.#expect(id, undefined);
        this.#send(encodeTabLine(['CONT', String(id), response.toString('base64')]));
        return step;
      },
      cancel: () => {
        isCancelled = true;
        if (id !== undefined) this.#cancel(id);
      },
    };
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#socket?.end();
    this.#socket?.destroySoon();
    this.#failAll();
  }

  #connect(): void {
    if (this.#isClosed) return;
    const socket = createConnection(this.#options.path);
    this.#socket = socket;
    this.#lines = new TabLines();
    this.#greeting = { mechanisms: [], serverPid: 0, cookie: '' };
    socket.on('connect', () => {
      socket.write(
        encodeTabLine(['VERSION', String(clientProtocol.major), String(clientProtocol.minor)]) +
          encodeTabLine(['CPID', String(this.#clientPid)]),
      );
    });
    socket.on('data', (chunk: Buffer) => this.#receive(socket, chunk));
    socket.on('error', (error) => this.#logBroken(error.message));
    socket.on('close', () => this.#lost(socket));
  }

  #receive(socket: Socket, chunk: Buffer): void {
    const lines = this.#lines.push(chunk);
    if (lines === 'too-long') {
      this.#logBroken('line too long');
      socket.destroy();
      return;
    }
    for (const [command = '', ...args] of lines) this.#takeLine(socket, command, args);
  }

  #takeLine(socket: Socket, command: string, args: readonly string[]): void {
    switch (command) {
      case 'VERSION':
        if (args[0] === String(clientProtocol.major)) return;
        this.#logBroken(`unsupported protocol version ${args[0] ?? ''}`);
        socket.destroy();
        return;
      case 'MECH':
        if (!args.slice(1).includes('private'))
          this.#greeting.mechanisms.push({ name: args[0] ?? '', isPlaintext: args.includes('plaintext', 1) });
        return;
      case 'SPID':
        this.#greeting.serverPid = parseId(args[0]) ?? 0;
        return;
      case 'COOKIE':
        this.#greeting.cookie = args[0] ?? '';
        return;
      case 'DONE':
        this.#becomeReady();
        return;
      case 'CONT':
      case 'OK':
      case 'FAIL':
        this.#takeReply(command, args);
        return;
      default:
        return;
    }
  }

  #becomeReady(): void {
    this.#ready = this.#greeting;
    this.#lastMechanisms = this.#greeting.mechanisms;
    this.#retryMs = firstRetryMs;
    this.#isFailureLogged = false;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter(this.#ready);
  }

  #takeReply(command: 'CONT' | 'OK' | 'FAIL', args: readonly string[]): void {
    const id = parseId(args[0]);
    const pending = id === undefined ? undefined : this.#pending.take(id);
    if (id === undefined || !pending) return;
    pending.deadline.cancel();
    if (command === 'CONT') this.#challenged.add(id);
    pending.settle(
      command === 'CONT' ? toChallenge(args[1]) : command === 'OK' ? this.#toSuccess(id, args.slice(1)) : toFailure(args.slice(1)),
    );
  }

  #toSuccess(id: number, args: readonly string[]): AuthStep {
    const parameters = parseParameters(args);
    const resp = parameters.get('resp');
    const user = parameters.get('user') ?? '';
    const claim = parameters.get('roost_claim');
    const claimAgain = parameters.get('roost_again');
    const keepMs = parseId(parameters.get('roost_keep'));
    for (const own of ['resp', 'user', 'roost_claim', 'roost_again', 'roost_keep']) parameters.delete(own);
    return {
      kind: 'ok',
      user,
      authId: id,
      authPid: this.#ready?.serverPid ?? 0,
      cookie: this.#ready?.cookie ?? '',
      claim,
      claimAgain,
      keepMs,
      finalData: resp === undefined ? undefined : decodeBase64(resp),
      fields: Object.fromEntries(parameters),
    };
  }

  #whenReady(): Promise<Handshake | undefined> {
    if (this.#ready) return Promise.resolve(this.#ready);
    if (this.#isClosed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const waiter: Waiter = (ready) => {
        clearTimeout(timer);
        resolve(ready);
      };
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        resolve(undefined);
      }, connectPatienceMs);
      this.#waiters.push(waiter);
    });
  }

  #allocateId(): number {
    while (this.#pending.has(this.#nextId) || this.#challenged.has(this.#nextId)) this.#nextId = (this.#nextId % 0xffff_ffff) + 1;
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0xffff_ffff) + 1;
    return id;
  }

  #expect(id: number, resend: string | undefined): Promise<AuthStep> {
    return new Promise((resolve) => {
      this.#pending.set(id, { settle: resolve, deadline: this.#deadlines.add({ id }), resend });
    });
  }

  #cancel(id: number): void {
    const pending = this.#pending.take(id);
    this.#challenged.delete(id);
    pending?.deadline.cancel();
    if (this.#ready) this.#send(encodeTabLine(['CANCEL', String(id)]));
    pending?.settle({ kind: 'fail', code: 'aborted', reason: undefined, user: undefined });
  }

  /** Lines of one turn of the event loop leave in one write. */
  #send(line: string): void {
    if (this.#outgoing === '') setImmediate(() => this.#flush());
    this.#outgoing += line;
  }

  #flush(): void {
    const text = this.#outgoing;
    this.#outgoing = '';
    if (text !== '' && this.#socket?.writable) this.#socket.write(text);
  }

  #lost(socket: Socket): void {
    if (socket !== this.#socket) return;
    const wasReady = this.#ready !== undefined;
    this.#ready = undefined;
    this.#socket = undefined;
    this.#outgoing = '';
    this.#challenged.clear();
    if (wasReady && !this.#isClosed) this.#logBroken('connection lost');
    this.#giveUpOrResend();
    if (this.#isClosed) return;
    this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs);
    // A process with nobody to serve may end while auth is away; somebody who waits holds it with a timer of his own.
    this.#retryTimer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
  }

  /**
   * An auth process that is replaced closes its connections; a first step that crossed with that is asked again, once. Later steps are bound
   * to a challenge of the lost process.
   */
  #giveUpOrResend(): void {
    for (const [id, { settle, deadline, resend }] of this.#pending.takeAll()) {
      deadline.cancel();
      if (resend === undefined || this.#isClosed) {
        settle(temporary);
        continue;
      }
      void this.#whenReady().then((ready) => {
        if (!ready || this.#pending.has(id)) {
          settle(temporary);
          return;
        }
        void this.#expect(id, undefined).then(settle);
        this.#send(resend);
      });
    }
  }

  #failAll(): void {
    this.#giveUpOrResend();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter(undefined);
  }

  /** Once per outage. */
  #logBroken(reason: string): void {
    if (this.#isFailureLogged || this.#isClosed) return;
    this.#isFailureLogged = true;
    this.#options.log.warning('auth.connection.lost', `auth: ${this.#options.path}: ${reason}`, { path: this.#options.path });
  }
}

function toChallenge(text: string | undefined): AuthStep {
  const challenge = decodeBase64(text ?? '');
  return challenge === undefined ? temporary : { kind: 'continue', challenge };
}

function toFailure(args: readonly string[]): AuthStep {
  const parameters = parseParameters(args);
  return { kind: 'fail', code: failureFromParameters(parameters), reason: parameters.get('reason'), user: parameters.get('user') };
}
