// The handshake of TLS: without Node where it can be (openssl-handshake.ts), else by Node, either in memory or in place.
//
// In memory its records come and go through here, so that after a handshake of TLS 1.3 all is known that the records behind it need (tls-stream.ts); with
// older versions, and suites that are not known here, Node's stream goes on over the same wire. In place Node has the socket, which costs less.
import type { Duplex } from 'node:stream';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';
import { Direction } from '#protocol/tls/direction.js';
import { cipherSuite } from '#protocol/tls/suites.js';
import { recordLength, skipRecords } from './handshake-records.js';
import { asNodeSocket, type ClientSocket } from './open-socket.js';
import type { OpenSslContext } from './openssl.js';
import { type QuickFacts, shakeHandsQuickly } from './openssl-handshake.js';
import { type Done, PartsStream, whenTaken } from './parts-stream.js';
import { continueReading, stopReading } from './reading.js';
import { handshakeError, type TlsError, timeoutError } from './tls-error.js';
import { type TlsParts, TlsStream } from './tls-stream.js';

const newestVersion = 'TLSv1.3';

export interface Shaken<Facts> {
  readonly stream: Duplex;
  readonly facts: Facts;
}

export interface HandshakeOptions<Facts> {
  /** Nobody reads it, and `stopReading` was called. */
  readonly socket: ClientSocket;
  /** Of the client, before. */
  readonly received: Buffer;
  /** Asked where Node has to do it. */
  readonly tlsOptions: () => TLSSocketOptions;
  readonly timeoutMs: number;
  /** Asked once, after the handshake. */
  readonly factsOf: (stream: TLSSocket) => Facts;
}

export interface ShakeOptions<Facts> extends HandshakeOptions<Facts> {
  /** For TLS 1.3 without Node, which costs less; with the same settings as `tlsOptions`. */
  readonly quick: { readonly context: OpenSslContext; readonly factsOf: (facts: QuickFacts) => Facts } | undefined;
  /** Where Node has to do it, TLS 1.3 shall still be able to leave this process. */
  readonly mayMove: boolean;
}

/**
 * Does the server's part of a handshake.
 * @throws TlsError `handshake`, `timeout`; destroying the socket is the caller's
 */
export function shakeHands<Facts>(options: ShakeOptions<Facts>): Promise<Shaken<Facts>> {
  const { quick, socket, received, timeoutMs } = options;
  if (quick === undefined) return shakeHandsByNode(options, received);
  return new Promise((resolve, reject) => {
    shakeHandsQuickly({
      socket,
      received,
      context: quick.context,
      timeoutMs,
      onDone: ({ stream, facts }) => resolve({ stream, facts: quick.factsOf(facts) }),
      onForeign: (all) => resolve(shakeHandsByNode(options, all)),
      onFailure: reject,
    });
  });
}

/** @param received of the client, instead of that in `options` */
function shakeHandsByNode<Facts>(options: ShakeOptions<Facts>, received: Buffer): Promise<Shaken<Facts>> {
  return options.mayMove ? new Handshake(options, received).done : shakeHandsInPlace(options, received);
}

/** All of it by Node: the stream cannot leave this process. */
function shakeHandsInPlace<Facts>(
  { socket, tlsOptions, timeoutMs, factsOf }: HandshakeOptions<Facts>,
  received: Buffer,
): Promise<Shaken<Facts>> {
  const rest = stopReading(socket);
  const all = rest.length === 0 ? received : Buffer.concat([received, rest]);
  if (all.length > 0) socket.unshift(all);
  const stream = new TLSSocket(asNodeSocket(socket), tlsOptions());
  return new Promise((resolve, reject) => {
    let failure: unknown;
    const finish = (error: TlsError | undefined): void => {
      clearTimeout(timer);
      stream.off('secure', onSecure);
      stream.off('close', onClose);
      if (error === undefined) resolve({ stream, facts: factsOf(stream) });
      else reject(error);
    };
    const onSecure = (): void => finish(undefined);
    const onError = (error: unknown): void => {
      failure = error;
    };
    const onClose = (): void => finish(handshakeError(failure));
    const timer = setTimeout(() => {
      finish(timeoutError(timeoutMs));
      stream.destroy();
    }, timeoutMs);
    stream.on('secure', onSecure);
    // Stays: an error always comes with 'close', which is where roles look.
    stream.on('error', onError);
    stream.on('_tlsError', onError);
    stream.on('close', onClose);
  });
}

class Handshake<Facts> {
  readonly done: Promise<Shaken<Facts>>;
  readonly #socket: ClientSocket;
  readonly #factsOf: (stream: TLSSocket) => Facts;
  readonly #wire: Wire;
  readonly #engine: TLSSocket;
  readonly #timer: NodeJS.Timeout;
  #received: Buffer | undefined;
  /** Traffic secrets, as Node tells them. */
  #clientSecret: Buffer | undefined;
  #serverSecret: Buffer | undefined;
  #isSecure = false;
  #isFeeding = false;
  #failure: unknown;
  #resolve: (shaken: Shaken<Facts>) => void = ignore;
  #reject: (error: unknown) => void = ignore;

  /** @param received from the socket, before */
  constructor({ socket, tlsOptions, timeoutMs, factsOf }: HandshakeOptions<Facts>, received: Buffer) {
    this.#socket = socket;
    this.#factsOf = factsOf;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#wire = new Wire(socket);
    this.#engine = new TLSSocket(this.#wire, tlsOptions());
    this.#engine.on('keylog', this.#onKey);
    this.#engine.on('secure', this.#onSecure);
    // Stays: an error always comes with 'close', which is where roles look.
    this.#engine.on('error', this.#onError);
    this.#engine.on('_tlsError', this.#onError);
    this.#engine.on('close', this.#onClose);
    this.#timer = setTimeout(() => {
      this.#fail(timeoutError(timeoutMs));
    }, timeoutMs);
    socket.on('data', this.#onData);
    socket.on('end', this.#onClose);
    socket.on('close', this.#onClose);
    continueReading(socket);
    socket.resume();
    if (socket.destroyed) this.#onClose();
    else if (received.length > 0) this.#onData(received);
  }

  /** Lines as in a key log file: label, the client's random, the secret in hexadecimal. */
  readonly #onKey = (line: Buffer): void => {
    const [name, , secret] = line.toString('latin1').trimEnd().split(' ');
    if (name === 'CLIENT_TRAFFIC_SECRET_0') this.#clientSecret = Buffer.from(secret ?? '', 'hex');
    else if (name === 'SERVER_TRAFFIC_SECRET_0') this.#serverSecret = Buffer.from(secret ?? '', 'hex');
  };
  readonly #onSecure = (): void => {
    this.#isSecure = true;
    // Between two pushes: what the engine has read meanwhile cannot be known, so it goes on.
    if (!this.#isFeeding) this.#finish(this.#received ?? nothing, true);
  };
  readonly #onError = (error: unknown): void => {
    this.#failure ??= error;
  };
  readonly #onClose = (): void => {
    this.#fail(handshakeError(this.#failure));
  };

  readonly #onData = (octets: Buffer): void => {
    try {
      this.#feed(this.#received === undefined ? octets : Buffer.concat([this.#received, octets]));
    } catch (error) {
      this.#fail(error);
    }
  };

  /** One record after the other: what follows the last one of the handshake is not the engine's. */
  #feed(received: Buffer): void {
    let offset = 0;
    this.#received = undefined;
    while (offset < received.length) {
      const length = recordLength(received, offset);
      if (length === undefined || offset + length > received.length) break;
      // What it says from here on, should this record be the last one, is under the secrets for what follows.
      this.#wire.forgetWritten();
      this.#isFeeding = true;
      this.#wire.push(received.subarray(offset, offset + length));
      this.#isFeeding = false;
      offset += length;
      if (this.#isSecure) {
        this.#finish(received.subarray(offset), false);
        return;
      }
    }
    if (offset < received.length) this.#received = received.subarray(offset);
  }

  #finish(rest: Buffer, mustStay: boolean): void {
    const facts = this.#factsOf(this.#engine);
    const parts = mustStay ? undefined : this.#parts(rest);
    this.#detach();
    if (parts === undefined) this.#resolve({ stream: this.#goOnWithEngine(rest), facts });
    else {
      this.#wire.release();
      this.#engine.destroy();
      this.#resolve({ stream: new TlsStream(this.#socket, parts), facts });
    }
  }

  #parts(rest: Buffer): TlsParts | undefined {
    const { name: suite } = this.#engine.getCipher();
    const received = this.#clientSecret;
    const sent = this.#serverSecret;
    if (this.#engine.getProtocol() !== newestVersion || cipherSuite(suite) === undefined) return undefined;
    if (received === undefined || sent === undefined) return undefined;
    const outgoing = new Direction({ suite, secret: sent, sequence: 0 });
    skipRecords(Buffer.concat(this.#wire.written), outgoing);
    return { received: new Direction({ suite, secret: received, sequence: 0 }), sent: outgoing, partial: rest };
  }

  #goOnWithEngine(rest: Buffer): TLSSocket {
    this.#engine.off('keylog', this.#onKey);
    // As of any socket, until its owner wants it otherwise.
    this.#engine.allowHalfOpen = false;
    this.#wire.connect();
    if (rest.length > 0) this.#wire.push(rest);
    return this.#engine;
  }

  #fail(error: unknown): void {
    this.#detach();
    this.#reject(error);
    this.#wire.release();
    this.#engine.destroy();
  }

  #detach(): void {
    clearTimeout(this.#timer);
    this.#engine.off('secure', this.#onSecure);
    this.#engine.off('close', this.#onClose);
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onClose);
    this.#socket.off('close', this.#onClose);
  }
}

/** What the engine takes for the network. */
class Wire extends PartsStream {
  readonly #socket: ClientSocket;
  #isReleased = false;
  #isConnected = false;
  /** Since `forgetWritten`. */
  written: Buffer[] = [];

  constructor(socket: ClientSocket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
  }

  forgetWritten(): void {
    if (this.written.length > 0) this.written = [];
  }

  /** From here on the engine cannot reach the socket. */
  release(): void {
    this.#isReleased = true;
  }

  /** From here on the socket is read by the engine. */
  connect(): void {
    const socket = this.#socket;
    this.#isConnected = true;
    this.written = [];
    // Whether the other direction ends with this one is for whoever has the engine to say.
    socket.allowHalfOpen = true;
    socket.on('data', (octets: Buffer) => {
      if (!this.push(octets)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    if (this.#isConnected && this.#socket.isPaused()) this.#socket.resume();
  }

  protected override send(chunks: readonly Buffer[], done: Done): void {
    const socket = this.#socket;
    if (this.#isReleased || !socket.writable) {
      done();
      return;
    }
    for (const chunk of chunks) {
      if (!this.#isConnected) this.written.push(chunk);
      socket.write(chunk);
    }
    whenTaken(socket, done);
  }

  override _final(done: Done): void {
    if (this.#isReleased || !this.#socket.writable) done();
    else this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    if (!this.#isReleased) this.#socket.destroy();
    done(error);
  }
}

const nothing = Buffer.alloc(0);
const ignore = (): undefined => undefined;
