// The server's part of a handshake of TLS 1.3, by the OpenSSL that is in Node, called directly: octets in, octets out, in one turn.
//
// Node's own TLS wants a stream below and is one above, which takes longer than the handshake itself. Both use the same library with the same contexts:
// certificates, suites and the keys of tickets are those of a SecureContext. This one must belong to nobody else, as Node's streams leave callbacks in
// theirs which expect one of Node's streams behind each connection. Callbacks of Node's into JavaScript cannot be used at all, as the calls run on a stack of
// their own, which V8 takes for one that has overflowed.
//
// A context made here, without Node, would not know Node's form of tickets, which a callback of Node's writes: clients that meet now this and now Node, as in
// direct mode or for some time after the keys have changed, could not resume.
//
// Where calls, or the context's address, are not as expected there is no `OpenSslContext`, and Node does the handshake.
import type { SecureContext } from 'node:tls';
import { inspect, types } from 'node:util';
import { type NativeFunction, openNativeLibraries } from '#util/native-calls.js';
import { SecretSearch, type TrafficSecrets } from './openssl-secrets.js';

/** Of whose SecureContext it is known that its `_external` is the SSL_CTX. */
const knownNodeVersion = /^20\./;
const version13 = 0x0304n;
const setMinVersion = 123;
const pendingOctets = 10;
/** SSL_get_error */
const wantsRead = 2;
/** TLSEXT_NAMETYPE_host_name */
const hostName = 0;
const maxErrorBytes = 256;
/** Of a line of the key log: label, the client's random, a secret of 48 octets. */
const maxLineBytes = 256;
/** Of an SSL object, as the allocator gives it; anything else is none that could be searched. */
const objectBytes = { least: 1_024, most: 65_536 } as const;
/** Each costs a tenth of a handshake, and one is what a client needs: with the next connection it gets the next one (RFC 8446 C.4). */
const ticketCount = 1;

/** `more`: of the client's octets. */
export type HandshakeState = 'more' | 'done' | 'failed';

type TextFunction = (...values: readonly number[]) => string | null;

interface Calls {
  readonly controlContext: NativeFunction;
  readonly setKeyLog: NativeFunction;
  readonly setTickets: NativeFunction;
  readonly open: NativeFunction;
  readonly free: NativeFunction;
  readonly setBios: NativeFunction;
  readonly beServer: NativeFunction;
  readonly handshake: NativeFunction;
  readonly errorOf: NativeFunction;
  readonly pendingCipher: NativeFunction;
  readonly cipherName: TextFunction;
  readonly serverName: TextFunction;
  readonly newBio: NativeFunction;
  readonly readBio: NativeFunction;
  readonly writeBio: NativeFunction;
  readonly controlBio: NativeFunction;
  readonly nextError: NativeFunction;
  readonly errorText: NativeFunction;
  readonly clearErrors: NativeFunction;
  readonly lengthOf: NativeFunction;
  readonly copy: NativeFunction;
  readonly sizeOf: NativeFunction;
  /** BIO_s_mem */
  readonly memory: number;
  /** A function pointer: tells `speaking` where a line of the key log is. */
  readonly keyLog: bigint;
  readonly search: SecretSearch;
}

const clientLabel = 'CLIENT_TRAFFIC_SECRET_0 ';
const serverLabel = 'SERVER_TRAFFIC_SECRET_0 ';

/** Whose handshake goes on: OpenSSL calls back in the same turn. */
let speaking: OpenSslHandshake | undefined;

function load(): Calls | undefined {
  const native = openNativeLibraries();
  if (native === undefined || !knownNodeVersion.test(process.versions.node)) return undefined;
  const library = native.load(null);
  // As integers: the addresses are given back as they came.
  const pointer = 'intptr_t';
  const texts = (name: string, parameters: readonly string[]): TextFunction => {
    const call: unknown = library.func(name, 'const char *', parameters);
    return call as TextFunction;
  };
  // Another library of this name, in the same process, would make something else of the context.
  if (texts('OpenSSL_version', ['int'])(0)?.startsWith(`OpenSSL ${process.versions.openssl ?? ''} `) !== true) return undefined;
  const keyLogType = native.pointer(native.proto('void RoostKeyLog(intptr_t session, intptr_t line)'));
  return {
    controlContext: library.func('SSL_CTX_ctrl', 'long', [pointer, 'int', 'long', pointer]),
    setKeyLog: library.func('SSL_CTX_set_keylog_callback', 'void', [pointer, keyLogType]),
    setTickets: library.func('SSL_CTX_set_num_tickets', 'int', [pointer, 'size_t']),
    open: library.func('SSL_new', pointer, [pointer]),
    free: library.func('SSL_free', 'void', [pointer]),
    setBios: library.func('SSL_set_bio', 'void', [pointer, pointer, pointer]),
    beServer: library.func('SSL_set_accept_state', 'void', [pointer]),
    handshake: library.func('SSL_do_handshake', 'int', [pointer]),
    errorOf: library.func('SSL_get_error', 'int', [pointer, 'int']),
    pendingCipher: library.func('SSL_get_pending_cipher', pointer, [pointer]),
    cipherName: texts('SSL_CIPHER_get_name', [pointer]),
    serverName: texts('SSL_get_servername', [pointer, 'int']),
    newBio: library.func('BIO_new', pointer, [pointer]),
    readBio: library.func('BIO_read', 'int', [pointer, 'void *', 'int']),
    writeBio: library.func('BIO_write', 'int', [pointer, 'void *', 'int']),
    controlBio: library.func('BIO_ctrl', 'long', [pointer, 'int', 'long', pointer]),
    nextError: library.func('ERR_get_error', 'ulong', []),
    errorText: library.func('ERR_error_string_n', 'void', ['ulong', 'void *', 'size_t']),
    clearErrors: library.func('ERR_clear_error', 'void', []),
    lengthOf: library.func('strlen', 'size_t', [pointer]),
    copy: library.func('memcpy', pointer, ['void *', pointer, 'size_t']),
    sizeOf: library.func('malloc_usable_size', 'size_t', [pointer]),
    memory: library.func('BIO_s_mem', pointer, [])(),
    keyLog: native.register((_session: unknown, line: unknown) => speaking?.hear(Number(line)), keyLogType),
    search: new SecretSearch(),
  };
}

let isLoaded = false;
let loaded: Calls | undefined;

function callsOf(): Calls | undefined {
  if (!isLoaded) {
    isLoaded = true;
    try {
      loaded = load();
    } catch {
      // A Node that shows its OpenSSL to nobody.
    }
  }
  return loaded;
}

/** The SSL_CTX. Node shows it as an object that only native code can open; what it prints is the address. */
function addressOf(context: SecureContext): bigint | undefined {
  const native: unknown = context.context;
  const external: unknown = typeof native === 'object' && native !== null && '_external' in native ? native._external : undefined;
  if (!types.isExternal(external)) return undefined;
  const address = /^\[External: ([0-9a-f]{5,12})\]$/.exec(inspect(external))?.[1];
  return address === undefined ? undefined : BigInt(`0x${address}`);
}

export class OpenSslContext {
  /** Octets, in the first that a client says, by which Node is to be left the handshake. */
  foreignMarks: readonly Buffer[] = [];
  readonly #calls: Calls;
  /** Whose SSL_CTX it is, for as long as this is there. */
  readonly owner: SecureContext;
  readonly #address: bigint;
  #isTelling = false;

  private constructor(calls: Calls, owner: SecureContext, address: bigint) {
    this.#calls = calls;
    this.owner = owner;
    this.#address = address;
  }

  /**
   * Undefined where it has to be Node: also when the settings allow no TLS 1.3.
   * @param owner nobody else may use it
   */
  static of(owner: SecureContext): OpenSslContext | undefined {
    const calls = callsOf();
    if (calls === undefined) return undefined;
    const address = addressOf(owner);
    if (address === undefined || calls.controlContext(address, setMinVersion, version13, 0) !== 1) return undefined;
    if (calls.setTickets(address, ticketCount) !== 1) return undefined;
    return new OpenSslContext(calls, owner, address);
  }

  /** Secrets are read where OpenSSL has them; before, the key log tells them (openssl-secrets.ts). */
  get readsSecrets(): boolean {
    return this.#calls.search.found !== undefined;
  }

  /** Whether secrets are told, of sessions that begin as of those that have begun. */
  set tellsSecrets(tells: boolean) {
    if (tells === this.#isTelling) return;
    this.#isTelling = tells;
    this.#calls.setKeyLog(this.#address, tells ? this.#calls.keyLog : null);
  }

  /** To be freed. Undefined without memory for it. */
  begin(): OpenSslHandshake | undefined {
    const session = this.#calls.open(this.#address);
    return session === 0 ? undefined : new OpenSslHandshake(this.#calls, session, this);
  }
}

export class OpenSslHandshake {
  readonly #calls: Calls;
  /** For as long as this is there. */
  readonly context: OpenSslContext;
  /** 0 when it was freed, and its BIOs with it. */
  #session: number;
  readonly #received: number;
  readonly #toSend: number;
  /** As the key log told them. */
  #clientSecret: Buffer | undefined;
  #serverSecret: Buffer | undefined;
  /** Why it has failed. */
  error: Error | undefined;

  constructor(calls: Calls, session: number, context: OpenSslContext) {
    this.#calls = calls;
    this.context = context;
    this.#session = session;
    this.#received = calls.newBio(calls.memory);
    this.#toSend = calls.newBio(calls.memory);
    calls.setBios(session, this.#received, this.#toSend);
    calls.beServer(session);
  }

  /** What of the client was taken in; what is to be said to it is in `takeSaid` then. */
  take(octets: Buffer): HandshakeState {
    const calls = this.#calls;
    const session = this.#session;
    if (session === 0) return 'failed';
    // What somebody else has left would be taken for a failure of this one.
    calls.clearErrors();
    calls.writeBio(this.#received, octets, octets.length);
    speaking = this;
    // Until it is known where they are: then they are read there.
    this.context.tellsSecrets = !this.context.readsSecrets;
    const status = calls.handshake(session);
    speaking = undefined;
    if (status === 1) return 'done';
    if (calls.errorOf(session, status) === wantsRead) return 'more';
    this.error = this.#takeError();
    return 'failed';
  }

  takeSaid(): Buffer {
    const calls = this.#calls;
    const length = this.#session === 0 ? 0 : calls.controlBio(this.#toSend, pendingOctets, 0, 0);
    if (length <= 0) return nothing;
    const octets = Buffer.allocUnsafe(length);
    const count = calls.readBio(this.#toSend, octets, length);
    return count === length ? octets : octets.subarray(0, Math.max(count, 0));
  }

  /** The suite that was agreed on, from the first answer on. */
  get cipher(): string {
    const cipher = this.#session === 0 ? 0 : this.#calls.pendingCipher(this.#session);
    return cipher === 0 ? '' : (this.#calls.cipherName(cipher) ?? '');
  }

  /** '' when the client asked for none. */
  get serverName(): string {
    return this.#session === 0 ? '' : (this.#calls.serverName(this.#session, hostName) ?? '');
  }

  /**
   * Once it is done, and before it is freed.
   * @param bytes of each: those of the suite's hash
   * @returns undefined when they were not told
   */
  secrets(bytes: number): TrafficSecrets | undefined {
    const { search, copy } = this.#calls;
    const session = this.#session;
    const places = search.found;
    if (places !== undefined && session !== 0) {
      const read = (at: number): Buffer => {
        const secret = Buffer.allocUnsafeSlow(bytes);
        copy(secret, session + at, bytes);
        return secret;
      };
      return { client: read(places.client), server: read(places.server) };
    }
    const [client, server] = [this.#clientSecret, this.#serverSecret];
    if (client === undefined || server === undefined) return undefined;
    if (!search.isOver && session !== 0) this.#search({ client, server });
    return { client, server };
  }

  #search(secrets: TrafficSecrets): void {
    const { search, copy, sizeOf } = this.#calls;
    const bytes = sizeOf(this.#session);
    if (bytes < objectBytes.least || bytes > objectBytes.most) return;
    const object = Buffer.allocUnsafeSlow(bytes);
    copy(object, this.#session, bytes);
    search.look(object, secrets);
    object.fill(0);
  }

  /** @param line its address, of a key log file: label, the client's random, the secret in hexadecimal */
  hear(line: number): void {
    const calls = this.#calls;
    const length = calls.lengthOf(line);
    if (length >= maxLineBytes) return;
    calls.copy(heard, line, length);
    if (heard.toString('latin1', 0, serverLabel.length) === serverLabel) {
      this.#serverSecret = secretOf(length);
      // What follows in this turn is for exporters alone.
      this.context.tellsSecrets = false;
    } else if (heard.toString('latin1', 0, clientLabel.length) === clientLabel) this.#clientSecret = secretOf(length);
    heard.fill(0, 0, length);
  }

  free(): void {
    if (this.#session === 0) return;
    this.#calls.free(this.#session);
    this.#session = 0;
  }

  #takeError(): Error {
    const calls = this.#calls;
    const text = Buffer.alloc(maxErrorBytes);
    calls.errorText(calls.nextError(), text, text.length);
    calls.clearErrors();
    return new Error(text.toString('latin1', 0, text.indexOf(0)));
  }
}

/** The last line that was heard. */
const heard = Buffer.alloc(maxLineBytes);

/** @param length of the line in `heard` */
function secretOf(length: number): Buffer {
  return Buffer.from(heard.toString('latin1', heard.lastIndexOf(0x20, length) + 1, length), 'hex');
}

const nothing = Buffer.alloc(0);
