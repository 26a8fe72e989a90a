// The load client in C++ (native/main.cc): a process of its own that gets a script and plays it when told to.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Endpoint } from './line-connection.js';
import type { WorkerPlan } from './plan.js';

/** Of one load. Latencies in ms. */
export interface Played {
  readonly seconds: number;
  /** From the connection's beginning until it is closed. */
  readonly sessions: readonly number[];
  /** LOGIN (connection and greeting included), requests, LOGOUT; of held workers the requests alone; deliveries, from MAIL FROM to the last reply. */
  readonly commands: readonly number[];
  readonly clientCpuMs: number;
}

const usualReplyTimeoutMs = 60_000;
/** Beyond the load and the wait for a last reply: starting, logging in, telling. */
const graceMs = 30_000;
const nsPerMs = 1_000_000;

interface Done {
  readonly elapsedNs: number;
  readonly cpuNs: number;
  readonly sessionsNs: readonly number[];
  readonly commandsNs: readonly number[];
  readonly errors: readonly { readonly count: number; readonly text: string }[];
}

type Told = { readonly state: 'ready' } | { readonly state: 'failed'; readonly error: string } | ({ readonly state: 'done' } & Done);

export interface NativeOptions {
  readonly program: string;
  readonly endpoint: Endpoint;
  readonly password: string;
  readonly plans: readonly WorkerPlan[];
}

export class NativeLoad {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #iterator: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  readonly #replyTimeoutMs: number;

  private constructor({ program, endpoint }: NativeOptions) {
    this.#replyTimeoutMs = endpoint.replyTimeoutMs ?? usualReplyTimeoutMs;
    this.#child = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#ended = once(this.#child, 'exit').catch(() => undefined);
    // A program that has ended is missed by whoever waits for its line.
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('error', () => this.#lines.close());
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#iterator = this.#lines[Symbol.asyncIterator]();
  }

  /** @returns when held workers are logged in. @throws Error with the server's words when one is not */
  static async start(options: NativeOptions): Promise<NativeLoad> {
    const load = new NativeLoad(options);
    try {
      load.#child.stdin.write(scriptOf(options, load.#replyTimeoutMs));
      await load.#answer(load.#replyTimeoutMs + graceMs);
      return load;
    } catch (error) {
      await load.end();
      throw error;
    }
  }

  /**
   * Plays for a while, or until so many sessions (of held workers: requests) have been begun.
   * @throws Error when a server has answered with anything but what is wanted, not in time, or not at all
   */
  async run(durationMs: number, most: number): Promise<Played> {
    this.#child.stdin.write(`go ${Math.round(durationMs)} ${most}\n`);
    const told = await this.#answer(durationMs + this.#replyTimeoutMs + graceMs);
    if (told.state !== 'done') throw new Error('the load client was ready twice');
    const [error] = told.errors;
    if (error !== undefined) throw new Error(`${error.text}${error.count > 1 ? ` (${error.count} times)` : ''}`);
    return {
      seconds: told.elapsedNs / nsPerMs / 1_000,
      sessions: told.sessionsNs.map((ns) => ns / nsPerMs),
      commands: told.commandsNs.map((ns) => ns / nsPerMs),
      clientCpuMs: told.cpuNs / nsPerMs,
    };
  }

  /** Held workers log out. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), this.#replyTimeoutMs + graceMs);
    await this.#ended;
    clearTimeout(timer);
    this.#lines.close();
  }

  async #answer(timeoutMs: number): Promise<Exclude<Told, { readonly state: 'failed' }>> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs);
    try {
      const { value, done } = await this.#iterator.next();
      if (done === true) throw new Error(`the load client has ended, or said nothing for ${timeoutMs} ms`);
      const told: Told = JSON.parse(value);
      if (told.state === 'failed') throw new Error(told.error);
      return told;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Each request once, then the workers by their numbers (native/script.h). */
function scriptOf({ endpoint, password, plans }: NativeOptions, replyTimeoutMs: number): Buffer {
  const parts: (string | Buffer)[] = [
    `port ${endpoint.port}\n${endpoint.tls ? 'tls\n' : ''}timeout ${replyTimeoutMs}\npassword ${password}\n`,
  ];
  const numbers = new Map<string, number>();
  const numberOf = (request: Buffer): number => {
    const key = request.toString('latin1');
    const known = numbers.get(key);
    if (known !== undefined) return known;
    parts.push(`request ${request.length}\n`, request, '\n');
    numbers.set(key, numbers.size);
    return numbers.size - 1;
  };
  const lines: string[] = [];
  for (const plan of plans) {
    if (plan.kind === 'delivery') {
      const { protocol, isChunked, sender, recipients, message } = plan.delivery;
      const way = isChunked ? `${protocol}+bdat` : protocol;
      lines.push(`worker ${recipients[0]}`, `deliver ${way} ${numberOf(message)} ${sender} ${recipients.join(' ')}`);
      continue;
    }
    lines.push(`worker ${plan.user}`);
    if (plan.kind === 'held') lines.push(`held ${plan.requests.map(numberOf).join(' ')}`);
    else for (const session of plan.sessions) lines.push(`session ${session.map(numberOf).join(' ')}`);
  }
  return Buffer.concat([...parts, `${lines.join('\n')}\nstart\n`].map((part) => Buffer.from(part)));
}
