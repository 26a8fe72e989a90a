// AuthMasterClient over the auth master protocol: claims, user lookups and lists for mail processes and roostadm.
import { createConnection, type Socket } from 'node:net';
import { encodeTabLine } from '#ipc/tab-escape.js';
import type { Logger } from '#log/logger.js';
import { CellMap } from '#util/cell-map.js';
import { Deadlines } from '#util/deadlines.js';
import { writeTogether } from '#util/write-together.js';
import type { AuthMasterClient, UserLookup } from './client.js';
import { leaseParameter, leasesVoid, masterProtocol } from './interface.js';
import { parseId, TabLines } from './tab-lines.js';
import { takeLease, UserAnswers } from './user-answers.js';
import { UserLeases } from './user-leases.js';

/** Longest wait for an answer, connecting included; databases give up before. */
const replyTimeoutMs = 90_000;
const retryMs = 200;
/** How long to try to reach an auth process that is not there, for example while it restarts. */
const connectPatienceMs = 10_000;

export interface MasterConnectionOptions {
  /** UNIX socket: `base_dir/auth-master`, or `base_dir/auth-userdb` for lookups only. */
  readonly path: string;
  readonly log: Logger;
  /** Answers to `lookup` are used for as long as auth allows without asking it again. */
  readonly keepsLeases?: boolean;
  /** Clock of leases, ms; for tests. */
  readonly nowMs?: () => number;
}

/** Connects on first use, and again when the connection was lost. */
export function connectAuthMaster(options: MasterConnectionOptions): AuthMasterClient & AuthAdmin {
  return new MasterLink(options);
}

/** What only administrators ask. */
export interface AuthAdmin {
  /** passdb fields of a user, without a password check. Refused on auth-userdb, which then ends the connection. */
  lookupPassdb(user: string, service: string, signal: AbortSignal): Promise<UserLookup>;
  /** Drops the auth cache, or the entries of these users. @returns number of entries @throws Error when auth cannot be asked */
  flushCache(users: readonly string[], signal: AbortSignal): Promise<number>;
}

/** A question that is not answered yet. */
interface Pending {
  readonly id: number;
  /** Takes one reply line. */
  take(command: string, args: readonly string[]): void;
  fail(error: Error): void;
}

/** Octets of one read; longer replies come in several. */
const readBytes = 16 * 1024;

class MasterLink implements AuthMasterClient, AuthAdmin {
  readonly #options: MasterConnectionOptions;
  readonly #pending = new CellMap<number, Pending>();
  readonly #deadlines = new Deadlines<Pending>(replyTimeoutMs, (pending) => pending.fail(new Error('auth: no answer in time')));
  /** What waits under a signal: one listener for each session that asks, not for each of its questions. */
  readonly #underSignal = new WeakMap<AbortSignal, CellMap<number, Pending>>();
  readonly #answers = new UserAnswers();
  readonly #toLookup = (command: string, args: readonly string[]): UserLookup => this.#answers.toLookup(command, args);
  readonly #leases: UserLeases | undefined;
  #connecting: Promise<Socket> | undefined;
  /** Connected. */
  #socket: Socket | undefined;
  #nextId = 1;
  #isClosed = false;

  constructor(options: MasterConnectionOptions) {
    this.#options = options;
    this.#leases = options.keepsLeases === true ? new UserLeases(options.nowMs) : undefined;
  }

  claim(
    request: { readonly loginPid: number; readonly authId: number; readonly cookie: string },
    signal: AbortSignal,
  ): Promise<UserLookup> {
    return this.#lookup(['REQUEST', String(request.loginPid), String(request.authId), request.cookie], signal);
  }

  lookup(user: string, service: string, signal: AbortSignal): Promise<UserLookup> {
    const parameters = [user, `service=${service}`];
    if (this.#leases === undefined || signal.aborted) return this.#lookup(['USER', ...parameters], signal);
    // All that the answer may depend on goes along with the question.
    const question = encodeTabLine(parameters);
    const leased = this.#leases.find(question);
    return leased === undefined ? this.#lookupForLease(this.#leases, question, parameters, signal) : Promise.resolve(leased);
  }

  #lookupForLease(leases: UserLeases, question: string, parameters: readonly string[], signal: AbortSignal): Promise<UserLookup> {
    const askedAtMs = leases.now();
    return this.#lookup(['USER', ...parameters, leaseParameter], signal, (command, args) => {
      const { leaseMs, rest } = takeLease(args);
      const answer = this.#toLookup(command, rest);
      if (leaseMs > 0 && answer.kind === 'found') leases.keep(question, answer, leaseMs, askedAtMs);
      return answer;
    });
  }

  lookupPassdb(user: string, service: string, signal: AbortSignal): Promise<UserLookup> {
    return this.#lookup(['PASS', user, `service=${service}`], signal);
  }

  list(mask: string, signal: AbortSignal): Promise<readonly string[]> {
    const users: string[] = [];
    return this.#ask(['LIST', `user=${mask}`], signal, (command, args) => {
      if (command === 'LIST') {
        users.push(args[0] ?? '');
        return undefined;
      }
      if (command === 'DONE' && !args.includes('fail')) return users;
      throw new Error('User listing failed');
    });
  }

  flushCache(users: readonly string[], signal: AbortSignal): Promise<number> {
    return this.#ask(['CACHE-FLUSH', ...users], signal, (command, args) => {
      if (command === 'OK') return Number(args[0] ?? 0);
      throw new Error('Cache flush failed');
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#connecting?.then(
      (socket) => socket.destroySoon(),
      () => undefined,
    );
    this.#failAll('closed');
  }

  async #lookup(fields: readonly string[], signal: AbortSignal, read = this.#toLookup): Promise<UserLookup> {
    try {
      return await this.#ask(fields, signal, read);
    } catch (error) {
      if (signal.aborted) throw error;
      return { kind: 'temp_fail', reason: error instanceof Error ? error.message : String(error) };
    }
  }

  /** @param read takes reply lines; undefined means more follow */
  async #ask<Answer>(
    [command = '', ...args]: readonly string[],
    signal: AbortSignal,
    read: (command: string, args: readonly string[]) => Answer | undefined,
  ): Promise<Answer> {
    signal.throwIfAborted();
    const socket = this.#socket ?? (await this.#connected(signal));
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0xffff_ffff) + 1;
    const siblings = this.#waitingUnder(signal);
    return new Promise<Answer>((resolve, reject) => {
      const settled = (): void => {
        deadline.cancel();
        siblings.take(id);
        this.#pending.take(id);
        if (this.#pending.size === 0) socket.unref();
      };
      const pending: Pending = {
        id,
        fail(error) {
          settled();
          reject(error);
        },
        take(reply, rest) {
          try {
            const answer = read(reply, rest);
            if (answer === undefined) return;
            settled();
            resolve(answer);
          } catch (error) {
            this.fail(error instanceof Error ? error : new Error(String(error)));
          }
        },
      };
      const deadline = this.#deadlines.add(pending);
      siblings.set(id, pending);
      // The connection keeps the process alive while somebody waits, as no timer does.
      if (this.#pending.size === 0) socket.ref();
      this.#pending.set(id, pending);
      writeTogether(socket);
      socket.write(encodeTabLine([command, String(id), ...args]));
    });
  }

  #waitingUnder(signal: AbortSignal): CellMap<number, Pending> {
    const known = this.#underSignal.get(signal);
    if (known !== undefined) return known;
    const waiting = new CellMap<number, Pending>();
    this.#underSignal.set(signal, waiting);
    signal.addEventListener(
      'abort',
      () => {
        const error = signal.reason instanceof Error ? signal.reason : new Error('aborted');
        for (const [, pending] of waiting.entries()) pending.fail(error);
      },
      { once: true },
    );
    return waiting;
  }

  #connected(signal: AbortSignal): Promise<Socket> {
    if (this.#isClosed) return Promise.reject(new Error('auth: connection is closed'));
    this.#connecting ??= this.#connect().catch((error: unknown) => {
      this.#connecting = undefined;
      throw error;
    });
    const connecting = this.#connecting;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
      signal.addEventListener('abort', onAbort, { once: true });
      connecting.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  }

  async #connect(): Promise<Socket> {
    const untilMs = Date.now() + connectPatienceMs;
    for (;;) {
      try {
        return await this.#open();
      } catch (error) {
        if (this.#isClosed || Date.now() > untilMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  #open(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const lines = new TabLines();
      // One buffer for all reads: Node would make one of 64 KB for each.
      const buffer = Buffer.allocUnsafeSlow(readBytes);
      const callback = (count: number): boolean => {
        const received = lines.push(buffer.subarray(0, count));
        if (received === 'too-long') socket.destroy();
        else for (const [command = '', ...args] of received) this.#takeLine(socket, command, args);
        return true;
      };
      const socket = createConnection({ path: this.#options.path, onread: { buffer, callback } });
      socket.on('connect', () => {
        socket.write(encodeTabLine(['VERSION', String(masterProtocol.major), String(masterProtocol.minor)]));
        // An idle link does not keep a process alive that has nothing else to do.
        socket.unref();
        this.#socket = socket;
        resolve(socket);
      });
      socket.on('error', reject);
      socket.on('close', () => {
        this.#connecting = undefined;
        this.#socket = undefined;
        // Nobody would tell that they are void.
        this.#leases?.clear();
        this.#failAll('connection lost');
      });
    });
  }

  #takeLine(socket: Socket, command: string, args: readonly string[]): void {
    // The greeting's numbers are no request ids, and it may arrive after the first request was sent.
    if (command === 'SPID') return;
    if (command === 'VERSION') {
      if (args[0] === String(masterProtocol.major)) return;
      this.#options.log.error('auth.master.version', `auth: ${this.#options.path} speaks protocol version ${args[0] ?? ''}`);
      socket.destroy();
      return;
    }
    if (command === leasesVoid) {
      this.#leases?.clear();
      writeTogether(socket);
      socket.write(encodeTabLine([command, args[0] ?? '']));
      return;
    }
    const id = parseId(args[0]);
    if (id !== undefined) this.#pending.get(id)?.take(command, args.slice(1));
  }

  #failAll(reason: string): void {
    const error = new Error(`auth: ${reason}`);
    for (const [, pending] of this.#pending.entries()) pending.fail(error);
  }
}
