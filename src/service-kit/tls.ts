// TLS of client connections: contexts are made once from the settings, session tickets work in every process of the service.
import { constants } from 'node:crypto';
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type SecureVersion,
  type TLSSocket,
  type TLSSocketOptions,
} from 'node:tls';
import type { SettingsOf } from '#config/define.js';
import type { ConnectionFacts, SettingsSource } from '#config/settings-source.js';
import type { TlsFacts } from '#ipc/peer.js';
import type { ClientSocket } from './open-socket.js';
import { OpenSslContext } from './openssl.js';
import type { QuickFacts } from './openssl-handshake.js';
import { stopReading } from './reading.js';
import { tlsSettings } from './settings.js';
import { replaceTicketKey, TicketKeys, ticketKeyBytes, ticketKeyNames } from './ticket-keys.js';
import { TlsError } from './tls-error.js';
import { type Shaken, type ShakeOptions, shakeHands } from './tls-handshake.js';

type TlsValues = SettingsOf<typeof tlsSettings>;

export const handshakeTimeoutMs = 30_000;
/** The name that every process gives its sessions, so that they may be resumed in another. */
const sessionIdContext = 'roost';

const oldestVersions: Readonly<Record<TlsValues['ssl_min_protocol'], SecureVersion>> = {
  // The library knows nothing older.
  ANY: 'TLSv1',
  SSLv3: 'TLSv1',
  TLSv1: 'TLSv1',
  'TLSv1.1': 'TLSv1.1',
  'TLSv1.2': 'TLSv1.2',
  'TLSv1.3': 'TLSv1.3',
  LATEST: 'TLSv1.3',
};

/** @param ticketKeys shared by all processes, newest first; undefined: each process has its own */
export function contextOptions(values: TlsValues, ticketKeys: Buffer | undefined): SecureContextOptions {
  const hasSecond = values.ssl_alt_cert !== '' && values.ssl_alt_key !== '';
  const optional: SecureContextOptions = {};
  if (values.ssl_key_password !== '') optional.passphrase = values.ssl_key_password;
  if (ticketKeys !== undefined) optional.ticketKeys = ticketKeys.subarray(0, ticketKeyBytes);
  return {
    ...optional,
    // Clients are checked against ssl_ca alone. Undefined would be the 150 authorities that Node knows: 15 ms and 1 MB in each process.
    ca: values.ssl_ca === '' ? [] : values.ssl_ca,
    cert: hasSecond ? [values.ssl_cert, values.ssl_alt_cert] : values.ssl_cert,
    key: hasSecond ? [values.ssl_key, values.ssl_alt_key] : values.ssl_key,
    minVersion: oldestVersions[values.ssl_min_protocol],
    ciphers: values.ssl_cipher_suites === '' ? values.ssl_cipher_list : `${values.ssl_cipher_suites}:${values.ssl_cipher_list}`,
    ecdhCurve: values.ssl_curve_list === '' ? 'auto' : values.ssl_curve_list,
    dhparam: values.ssl_dh === '' ? 'auto' : values.ssl_dh,
    honorCipherOrder: values.ssl_prefer_server_ciphers,
    sessionIdContext,
    secureOptions: values.ssl_options.includes('no_ticket') ? constants.SSL_OP_NO_TICKET : 0,
  };
}

export class TlsContexts {
  readonly #settings: SettingsSource;
  /** The name that a client asks for may decide. */
  readonly dependOnName: boolean;
  #ticketKeys: Buffer | undefined;
  /** From the first change on, or when there are several keys. */
  #changing: TicketKeys | undefined;
  readonly #made: SecureContext[] = [];
  // One context per distinct set of matching local, local_name and remote blocks: the settings source gives the same object for the same blocks.
  readonly #contexts = new WeakMap<TlsValues, SecureContext | TlsError>();
  readonly #quick = new WeakMap<TlsValues, OpenSslContext | 'none'>();
  readonly #quickMade: OpenSslContext[] = [];

  constructor(settings: SettingsSource, ticketKeys: Buffer | undefined) {
    this.#settings = settings;
    this.dependOnName = settings.hasLocalNames;
    this.#ticketKeys = ticketKeys;
    if (ticketKeys !== undefined && ticketKeys.length > ticketKeyBytes) this.#changing = new TicketKeys(ticketKeys);
  }

  /** New tickets get the first key; those of the others are still accepted. */
  replaceTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
    if (this.#changing !== undefined) this.#changing.replace(keys);
    else {
      this.#changing = new TicketKeys(keys);
      for (const { context } of this.#made) this.#changing.serve(context);
    }
    for (const context of this.#quickMade) this.#serveNewest(context, keys);
  }

  /** It knows one key. Clients that have tickets of older ones are Node's, where they are known. */
  #serveNewest(context: OpenSslContext, keys: Buffer): void {
    replaceTicketKey(context.owner.context, keys.subarray(0, ticketKeyBytes));
    context.foreignMarks = ticketKeyNames(keys.subarray(ticketKeyBytes));
  }

  values(facts: ConnectionFacts): TlsValues {
    return this.#settings.forConnection(facts).get(tlsSettings);
  }

  /** @throws TlsError `not-configured` */
  get(facts: ConnectionFacts): SecureContext {
    const values = this.values(facts);
    let context = this.#contexts.get(values);
    if (context === undefined) {
      context = this.#make(values);
      this.#contexts.set(values, context);
    }
    if (context instanceof TlsError) throw context;
    return context;
  }

  /**
   * For a handshake of TLS 1.3 without Node. Undefined where Node is needed: for certificates of clients, and for names that decide.
   * @throws TlsError `not-configured`
   */
  quick(facts: ConnectionFacts): OpenSslContext | undefined {
    const values = this.values(facts);
    if (this.dependOnName || values.ssl_verify_client_cert) return undefined;
    let context = this.#quick.get(values);
    if (context === undefined) {
      context = this.#makeQuick(values) ?? 'none';
      this.#quick.set(values, context);
    }
    return context === 'none' ? undefined : context;
  }

  #makeQuick(values: TlsValues): OpenSslContext | undefined {
    // Made apart, as it must be nobody else's.
    const owner = this.#create(values);
    if (owner instanceof TlsError) throw owner;
    const context = OpenSslContext.of(owner);
    if (context === undefined) return undefined;
    this.#quickMade.push(context);
    if (this.#ticketKeys !== undefined) this.#serveNewest(context, this.#ticketKeys);
    return context;
  }

  #make(values: TlsValues): SecureContext | TlsError {
    const context = this.#create(values);
    if (context instanceof TlsError) return context;
    this.#made.push(context);
    this.#changing?.serve(context.context);
    return context;
  }

  #create(values: TlsValues): SecureContext | TlsError {
    if (values.ssl === 'no') return new TlsError('not-configured', 'TLS is switched off (ssl = no)');
    if (values.ssl_cert === '') return new TlsError('not-configured', 'ssl enabled, but ssl_cert not set');
    if (values.ssl_key === '') return new TlsError('not-configured', 'ssl enabled, but ssl_key not set');
    try {
      return createSecureContext(contextOptions(values, this.#ticketKeys));
    } catch (cause) {
      return new TlsError('not-configured', `ssl_cert or ssl_key cannot be used: ${messageOf(cause)}`, { cause });
    }
  }
}

export interface UpgradeRequest {
  readonly socket: ClientSocket;
  readonly contexts: TlsContexts;
  readonly facts: ConnectionFacts;
  /** Read before the handshake; only the start of a TLS record is accepted. */
  readonly buffered: Buffer;
  readonly timeoutMs?: number;
  /** Where Node does the handshake of TLS 1.3: a `TlsStream`, which costs more, instead of Node's own. */
  readonly mayMove: boolean;
}

/**
 * Makes a TLS stream of a socket whose role has stopped reading.
 * @throws TlsError; the socket is destroyed then
 */
export async function upgradeToTls({ socket, contexts, facts, buffered, timeoutMs, mayMove }: UpgradeRequest): Promise<Shaken<TlsFacts>> {
  try {
    const early = Buffer.concat([buffered, stopReading(socket)]);
    // CVE-2011-0411: commands that came in plaintext behind STARTTLS must not be carried out as if they had been encrypted.
    if (early.length > 0 && early[0] !== 0x16) throw new TlsError('injected', 'plaintext was sent before the TLS handshake');
    const values = contexts.values(facts);
    return await shakeHands({
      socket,
      received: early,
      tlsOptions: () => handshakeOptions(contexts, facts, values),
      timeoutMs: timeoutMs ?? handshakeTimeoutMs,
      factsOf: (stream) => tlsFactsOf(stream, values),
      quick: quickOptions(contexts.quick(facts)),
      mayMove,
    });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function handshakeOptions(contexts: TlsContexts, facts: ConnectionFacts, values: TlsValues): TLSSocketOptions {
  const options: TLSSocketOptions = {
    isServer: true,
    secureContext: contexts.get(facts),
    requestCert: values.ssl_verify_client_cert,
    // Whether a client without a valid certificate may go on is for authentication to say.
    rejectUnauthorized: false,
  };
  // The handshake stops for it, which takes a tenth of a connection's time, so it is asked only where names make a difference.
  if (contexts.dependOnName) {
    options.SNICallback = (localName, done) => {
      try {
        done(null, contexts.get({ localName, ...facts }));
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    };
  }
  return options;
}

function quickOptions(context: OpenSslContext | undefined): ShakeOptions<TlsFacts>['quick'] {
  return context === undefined ? undefined : { context, factsOf: quickFactsOf };
}

function quickFactsOf({ cipher, serverName }: QuickFacts): TlsFacts {
  return { protocol: 'TLSv1.3', cipher, bits: cipherBits(cipher), serverName, certUsername: undefined };
}

/** Facts for the peer, after the handshake. */
function tlsFactsOf(stream: TLSSocket, values: TlsValues): TlsFacts {
  const cipher = stream.getCipher();
  // Set by Node on server sockets; the types only know it on client sockets.
  const serverName: unknown = 'servername' in stream ? stream.servername : undefined;
  return {
    protocol: stream.getProtocol() ?? '',
    cipher: cipher.name,
    bits: cipherBits(cipher.name),
    serverName: typeof serverName === 'string' ? serverName : '',
    certUsername: values.ssl_verify_client_cert && stream.authorized ? certificateField(stream, values.ssl_cert_username_field) : undefined,
  };
}

function certificateField(stream: TLSSocket, field: string): string | undefined {
  const subject: unknown = stream.getPeerCertificate().subject;
  const key = field === 'commonName' ? 'CN' : field;
  if (typeof subject !== 'object' || subject === null) return undefined;
  const value: unknown = Object.entries(subject).find(([name]) => name === key)?.[1];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Key length by the cipher's name, which is all that Node tells. */
export function cipherBits(name: string): number {
  if (/3DES|DES-CBC3/.test(name)) return 112;
  const size = /(?:AES|CAMELLIA|ARIA)_?-?(128|256)/.exec(name);
  if (size !== null) return Number(size[1]);
  return /CHACHA20/.test(name) ? 256 : 128;
}

function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return error === undefined ? 'the client closed the connection' : String(error);
}
