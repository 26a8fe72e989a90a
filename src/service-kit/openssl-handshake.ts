// The handshake of TLS 1.3 over a socket, by OpenSSL called directly (openssl.ts). What it cannot do it leaves to Node before a word was said.
import { Direction } from '#protocol/tls/direction.js';
import { cipherSuite } from '#protocol/tls/suites.js';
import { recordLength, skipRecords } from './handshake-records.js';
import type { ClientSocket } from './open-socket.js';
import type { OpenSslContext, OpenSslHandshake } from './openssl.js';
import { continueReading } from './reading.js';
import { handshakeError, timeoutError } from './tls-error.js';
import { TlsStream } from './tls-stream.js';

/** What was agreed on beside TLS 1.3. */
export interface QuickFacts {
  readonly cipher: string;
  /** '' when the client asked for none. */
  readonly serverName: string;
}

export interface QuickShaken {
  readonly stream: TlsStream;
  readonly facts: QuickFacts;
}

export interface QuickOptions {
  /** Nobody reads it, and `stopReading` was called. */
  readonly socket: ClientSocket;
  /** Of the client, before. */
  readonly received: Buffer;
  readonly context: OpenSslContext;
  readonly timeoutMs: number;
  /** Called once. */
  readonly onDone: (shaken: QuickShaken) => void;
  /** Called instead: nothing was said, and another handshake shall begin with what was received, in the same turn. */
  readonly onForeign: (received: Buffer) => void;
  /** Called instead, with a TlsError `handshake` or `timeout`, or a RecordError; destroying the socket is the caller's. */
  readonly onFailure: (error: unknown) => void;
}

/** Does the server's part of a handshake. */
export function shakeHandsQuickly(options: QuickOptions): void {
  const engine = options.context.begin();
  if (engine === undefined) options.onForeign(options.received);
  else new QuickHandshake(options, engine).start();
}

class QuickHandshake {
  readonly #options: QuickOptions;
  readonly #socket: ClientSocket;
  readonly #engine: OpenSslHandshake;
  readonly #timer: NodeJS.Timeout;
  /** From the record on that has not come whole; before the first answer, everything. */
  #received: Buffer = nothing;
  /** Of `#received`, what the engine has. */
  #taken = 0;
  /** '' before the first answer. */
  #cipher = '';

  constructor(options: QuickOptions, engine: OpenSslHandshake) {
    const { socket, timeoutMs } = options;
    this.#options = options;
    this.#socket = socket;
    this.#engine = engine;
    this.#timer = setTimeout(() => this.#fail(timeoutError(timeoutMs)), timeoutMs);
  }

  start(): void {
    const socket = this.#socket;
    const { received } = this.#options;
    socket.on('data', this.#onData);
    socket.on('end', this.#onClose);
    socket.on('close', this.#onClose);
    continueReading(socket);
    socket.resume();
    if (socket.destroyed) this.#onClose();
    else if (received.length > 0) this.#onData(received);
  }

  readonly #onClose = (): void => this.#fail(handshakeError(undefined));

  readonly #onData = (octets: Buffer): void => {
    this.#received = this.#received.length === 0 ? octets : Buffer.concat([this.#received, octets]);
    try {
      this.#feed();
    } catch (error) {
      this.#fail(error);
    }
  };

  /** One record after the other: what follows the last one of the handshake is not the engine's. */
  #feed(): void {
    while (this.#taken < this.#received.length) {
      const length = recordLength(this.#received, this.#taken);
      const end = this.#taken + (length ?? Number.POSITIVE_INFINITY);
      if (end > this.#received.length) break;
      if (this.#cipher === '' && this.#isForeign()) {
        this.#leave();
        return;
      }
      const state = this.#engine.take(this.#received.subarray(this.#taken, end));
      const said = this.#engine.takeSaid();
      this.#taken = end;
      if (this.#cipher === '' && (said.length > 0 || state !== 'more')) {
        const { cipher } = this.#engine;
        if (state !== 'more' || cipherSuite(cipher) === undefined) {
          this.#leave();
          return;
        }
        this.#cipher = cipher;
      }
      if (state === 'done') waitForMore(this.#socket);
      if (said.length > 0) this.#socket.write(said);
      if (state === 'failed') throw handshakeError(this.#engine.error);
      if (state === 'done') {
        this.#finish(said);
        return;
      }
    }
    if (this.#cipher === '') return;
    this.#received = this.#received.subarray(this.#taken);
    this.#taken = 0;
  }

  #isForeign(): boolean {
    return this.#options.context.foreignMarks.some((mark) => this.#received.includes(mark));
  }

  /** @param said under the secret for what follows: the tickets */
  #finish(said: Buffer): void {
    const { serverName } = this.#engine;
    const cipher = this.#cipher;
    const secrets = this.#engine.secrets(cipherSuite(cipher)?.secretBytes ?? 0);
    if (secrets === undefined) throw handshakeError(new Error('OpenSSL has told no secrets'));
    const received = new Direction({ suite: cipher, secret: secrets.client, sequence: 0 });
    const sent = new Direction({ suite: cipher, secret: secrets.server, sequence: 0 });
    skipRecords(said, sent);
    const partial = this.#received.subarray(this.#taken);
    this.#detach();
    this.#options.onDone({ stream: new TlsStream(this.#socket, { received, sent, partial }), facts: { cipher, serverName } });
  }

  #leave(): void {
    this.#detach();
    this.#options.onForeign(this.#received);
  }

  #fail(error: unknown): void {
    this.#detach();
    this.#options.onFailure(error);
  }

  #detach(): void {
    clearTimeout(this.#timer);
    this.#engine.free();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onClose);
    this.#socket.off('close', this.#onClose);
  }
}

/** What is written in this turn goes in one piece: the tickets with the greeting, so that neither end takes two for one. */
function waitForMore(socket: ClientSocket): void {
  socket.cork();
  setImmediate(() => socket.uncork());
}

const nothing = Buffer.alloc(0);
