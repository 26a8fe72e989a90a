// The client's side of TLS through the OpenSSL that Node contains, without Node's own TLS around it.
//
// A connection of node:tls costs the load client 1.2 to 1.5 ms, as much as the server's side of it, on the same processors: rates would show the
// client as much as the server. The handshake is the same on the wire (full, TLS 1.3, X25519); the certificate is not verified.
import { connect, type Socket } from 'node:net';
import { openNativeLibraries } from '#util/native-calls.js';

/** What `LineConnection` needs of a connection. */
export interface Carrier {
  write(data: string | Buffer): unknown;
  cork(): void;
  uncork(): void;
  destroy(): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
}

const chunkBytes = 64 * 1024;
/** The most that one record holds (RFC 8446 5.1). */
const recordBytes = 16 * 1024;
/** SSL_get_error: more octets of the peer are needed; the peer has ended. */
const wantsRead = 2;
const hasEnded = 6;
const bioCtrlPending = 10;
const ctrlSessionCacheMode = 44;

function loadCalls() {
  const native = openNativeLibraries();
  if (native === undefined) return undefined;
  const library = native.load(null);
  const pointer = 'intptr_t';
  const calls = {
    clientMethod: library.func('TLS_client_method', pointer, []),
    newContext: library.func('SSL_CTX_new', pointer, [pointer]),
    controlContext: library.func('SSL_CTX_ctrl', 'long', [pointer, 'int', 'long', pointer]),
    newSession: library.func('SSL_new', pointer, [pointer]),
    setBios: library.func('SSL_set_bio', 'void', [pointer, pointer, pointer]),
    setConnectState: library.func('SSL_set_connect_state', 'void', [pointer]),
    handshake: library.func('SSL_do_handshake', 'int', [pointer]),
    read: library.func('SSL_read', 'int', [pointer, 'void *', 'int']),
    write: library.func('SSL_write', 'int', [pointer, 'void *', 'int']),
    errorOf: library.func('SSL_get_error', 'int', [pointer, 'int']),
    clearErrors: library.func('ERR_clear_error', 'void', []),
    free: library.func('SSL_free', 'void', [pointer]),
    memoryMethod: library.func('BIO_s_mem', pointer, []),
    newBio: library.func('BIO_new', pointer, [pointer]),
    readBio: library.func('BIO_read', 'int', [pointer, 'void *', 'int']),
    writeBio: library.func('BIO_write', 'int', [pointer, 'void *', 'int']),
    controlBio: library.func('BIO_ctrl', 'long', [pointer, 'int', 'long', pointer]),
  };
  const context = calls.newContext(calls.clientMethod());
  if (context === 0) return undefined;
  // Each connection is a session of its own.
  calls.controlContext(context, ctrlSessionCacheMode, 0, 0);
  return { ...calls, context, memory: calls.memoryMethod() };
}

type Calls = NonNullable<ReturnType<typeof loadCalls>>;

let loaded: Calls | 'missing' | undefined;

function callsOf(): Calls | undefined {
  if (loaded === undefined) {
    try {
      loaded = loadCalls() ?? 'missing';
    } catch {
      // A Node that shows its OpenSSL to nobody.
      loaded = 'missing';
    }
  }
  return loaded === 'missing' ? undefined : loaded;
}

/** Undefined where OpenSSL cannot be called; otherwise settles when the handshake is done, or fails as a connection does. */
export function connectCheapTls(host: string, port: number): Promise<Carrier> | undefined {
  const calls = callsOf();
  if (calls === undefined) return undefined;
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const stream = new TlsClientStream(calls, socket, () => resolve(stream));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('connection closed during the TLS handshake')));
  });
}

/** Records of all connections are decrypted into one block after another; who gets a part of it may keep it. */
let block = Buffer.alloc(0);
let used = 0;

class TlsClientStream implements Carrier {
  readonly #calls: Calls;
  readonly #socket: Socket;
  /** 0 when it has been given back. */
  #session: number;
  readonly #received: number;
  readonly #toSend: number;
  readonly #onSecure: () => void;
  #isSecure = false;
  #isCorked = false;
  #onData: ((chunk: Buffer) => void) | undefined;

  constructor(calls: Calls, socket: Socket, onSecure: () => void) {
    this.#calls = calls;
    this.#socket = socket;
    this.#onSecure = onSecure;
    this.#session = calls.newSession(calls.context);
    this.#received = calls.newBio(calls.memory);
    this.#toSend = calls.newBio(calls.memory);
    calls.setBios(this.#session, this.#received, this.#toSend);
    calls.setConnectState(this.#session);
    socket.once('connect', () => this.#shakeHands());
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('close', () => this.#free());
  }

  on(event: 'data' | 'error' | 'close', listener: ((chunk: Buffer) => void) | ((error: Error) => void) | (() => void)): void {
    if (event === 'data') {
      this.#onData = listener as (chunk: Buffer) => void;
      // The greeting may have come with the end of the handshake.
      queueMicrotask(() => this.#read());
    } else this.#socket.on(event, listener);
  }

  write(data: string | Buffer): void {
    if (this.#session === 0) return;
    const octets = typeof data === 'string' ? Buffer.from(data) : data;
    if (octets.length > 0 && this.#calls.write(this.#session, octets, octets.length) <= 0) this.#fail('could not be written to');
    else if (!this.#isCorked) this.#send();
  }

  cork(): void {
    this.#isCorked = true;
  }

  uncork(): void {
    this.#isCorked = false;
    this.#send();
  }

  destroy(): void {
    this.#socket.destroy();
    this.#free();
  }

  #take(chunk: Buffer): void {
    if (this.#session === 0) return;
    this.#calls.writeBio(this.#received, chunk, chunk.length);
    if (!this.#isSecure) this.#shakeHands();
    else if (this.#onData !== undefined) this.#read();
  }

  #shakeHands(): void {
    const status = this.#calls.handshake(this.#session);
    const error = status === 1 ? 0 : this.#calls.errorOf(this.#session, status);
    this.#send();
    if (error === wantsRead) return;
    if (error !== 0) {
      this.#fail(`refused the handshake (${error})`);
      return;
    }
    this.#isSecure = true;
    this.#onSecure();
  }

  #read(): void {
    // A reader may destroy the connection between two records.
    while (this.#session !== 0) {
      if (block.length - used < recordBytes) {
        block = Buffer.allocUnsafeSlow(chunkBytes);
        used = 0;
      }
      const room = block.subarray(used, used + recordBytes);
      const length = this.#calls.read(this.#session, room, room.length);
      if (length <= 0) {
        const error = this.#calls.errorOf(this.#session, length);
        if (error === hasEnded) this.#socket.end();
        else if (error !== wantsRead) this.#fail(`sent something that is not TLS (${error})`);
        return;
      }
      used += length;
      this.#onData?.(room.subarray(0, length));
    }
  }

  #send(): void {
    if (this.#session === 0) return;
    const waiting = this.#calls.controlBio(this.#toSend, bioCtrlPending, 0, 0);
    if (waiting === 0) return;
    const octets = Buffer.allocUnsafe(waiting);
    this.#calls.readBio(this.#toSend, octets, waiting);
    this.#socket.write(octets);
  }

  #fail(what: string): void {
    this.#calls.clearErrors();
    this.#socket.destroy(new Error(`TLS peer ${what}`));
    this.#free();
  }

  #free(): void {
    if (this.#session === 0) return;
    // The two BIOs go with it.
    this.#calls.free(this.#session);
    this.#session = 0;
  }
}
