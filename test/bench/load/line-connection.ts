// The load client's side of a line protocol: as little work per octet as possible, so that the client is not what is measured.
import { connect } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { type Carrier, connectCheapTls } from './tls-client.js';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Longest wait for a reply; a minute unless told. */
  readonly replyTimeoutMs?: number;
}

/** A server that does not answer fails the run instead of hanging it. */
const usualReplyTimeoutMs = 60_000;

/** One for all connections: making it costs the client more than a handshake. Each connection is a new session all the same. */
let context: SecureContext | undefined;
function sharedContext(): SecureContext {
  context ??= createSecureContext();
  return context;
}

const tailBytes = 100;

interface Counter {
  readonly isEnd: (tail: Buffer) => boolean;
  octets: number;
  tail: Buffer;
  readonly resolve: (octets: number) => void;
  readonly reject: (error: unknown) => void;
}

export class LineConnection {
  readonly #carrier: Carrier;
  #pending: Buffer = Buffer.alloc(0);
  /** Where `#pending` lies when it was put together from several chunks, with room behind it: each octet of a long reply is copied about once. */
  #gathered: Buffer | undefined;
  #pendingStart = 0;
  #waiter:
    | { readonly test: (data: Buffer) => number; readonly resolve: (reply: Buffer) => void; readonly reject: (error: Error) => void }
    | undefined;
  #counter: Counter | undefined;
  #error: Error | undefined;
  readonly #timer: NodeJS.Timeout;

  private constructor(carrier: Carrier, replyTimeoutMs = usualReplyTimeoutMs) {
    this.#carrier = carrier;
    carrier.on('data', (chunk: Buffer) => {
      if (this.#counter !== undefined) {
        this.#count(this.#counter, chunk);
        return;
      }
      this.#gather(chunk);
      this.#check();
    });
    carrier.on('error', (error) => this.#fail(error));
    carrier.on('close', () => this.#fail(new Error('connection closed by the server')));
    this.#timer = setTimeout(() => this.#fail(new Error(`no reply within ${replyTimeoutMs} ms`)), replyTimeoutMs);
  }

  static open(endpoint: Endpoint): Promise<LineConnection> {
    const { host, port } = endpoint;
    const cheap = endpoint.tls ? connectCheapTls(host, port) : undefined;
    if (cheap !== undefined) return cheap.then((carrier) => new LineConnection(carrier, endpoint.replyTimeoutMs));
    return new Promise((resolve, reject) => {
      const socket = endpoint.tls
        ? connectTls({ host, port, rejectUnauthorized: false, secureContext: sharedContext() })
        : connect({ host, port, noDelay: true });
      socket.once('error', reject);
      socket.once(endpoint.tls ? 'secureConnect' : 'connect', () => {
        socket.off('error', reject);
        resolve(new LineConnection(socket, endpoint.replyTimeoutMs));
      });
    });
  }

  /** @param test length of the complete reply at the beginning of `data`, 0 when it is not complete */
  read(test: (data: Buffer) => number): Promise<Buffer> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#waiter = { test, resolve, reject };
      this.#timer.refresh();
      if (this.#pending.length > 0) this.#check();
    });
  }

  /**
   * Octets that come until the last of them pass the test; they are not kept.
   * @param isEnd is given what has come last, 100 octets or more where there are so many
   */
  countUntil(isEnd: (tail: Buffer) => boolean): Promise<number> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#counter = { isEnd, octets: 0, tail: Buffer.alloc(0), resolve, reject };
      this.#timer.refresh();
    });
  }

  #count(counter: Counter, chunk: Buffer): void {
    counter.octets += chunk.length;
    counter.tail = chunk.length >= tailBytes ? chunk : Buffer.concat([counter.tail.subarray(-tailBytes), chunk]);
    try {
      if (!counter.isEnd(counter.tail)) return;
      this.#counter = undefined;
      counter.resolve(counter.octets);
    } catch (error) {
      this.#counter = undefined;
      counter.reject(error);
    }
  }

  /** One line, its end included. */
  line(): Promise<Buffer> {
    return this.read((data) => data.indexOf(10) + 1);
  }

  write(data: string | Buffer): void {
    this.#carrier.write(data);
  }

  /** What is written until `uncork` goes together. */
  cork(): void {
    this.#carrier.cork();
  }

  uncork(): void {
    this.#carrier.uncork();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiter = undefined;
    this.#carrier.destroy();
  }

  #gather(chunk: Buffer): void {
    const held = this.#pending.length;
    if (held === 0) {
      this.#pending = chunk;
      this.#gathered = undefined;
      return;
    }
    const total = held + chunk.length;
    let buffer = this.#gathered;
    if (buffer === undefined || this.#pendingStart + total > buffer.length) {
      buffer = Buffer.allocUnsafeSlow(total * 2);
      this.#pending.copy(buffer);
      this.#gathered = buffer;
      this.#pendingStart = 0;
    }
    chunk.copy(buffer, this.#pendingStart + held);
    this.#pending = buffer.subarray(this.#pendingStart, this.#pendingStart + total);
  }

  #check(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const length = waiter.test(this.#pending);
    if (length === 0) return;
    const reply = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    this.#pendingStart += length;
    this.#waiter = undefined;
    waiter.resolve(reply);
  }

  #fail(error: Error): void {
    this.#error ??= error;
    clearTimeout(this.#timer);
    this.#carrier.destroy();
    const waiter = this.#waiter ?? this.#counter;
    this.#waiter = undefined;
    this.#counter = undefined;
    waiter?.reject(this.#error);
  }
}
