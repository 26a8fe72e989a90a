// Connections of the soak's clients: plain, with TLS from the first octet, and with TLS after STARTTLS. The certificate is checked.
import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { testCertificate } from '../service-kit/test-certificate.js';
import { LineClient } from '../support/line-client.js';
import { type Attempt, Broken } from './soak-attempt.js';

/**
 * Each session of strict pools takes two new processes: where the machine has other work, 200 clients and a reload every 5 s make a queue of a minute
 * before the greeting. What hangs is found all the same.
 */
const maxWaitMs = 110_000;
const endings = new Set(['ECONNRESET', 'EPIPE']);

export class SoakConnection {
  readonly #attempt: Attempt;
  readonly #socket: Socket;
  readonly #resumed: Buffer | undefined;
  #stream: Duplex;
  #client: LineClient;
  /** To go on with in a later connection, to whichever process. */
  ticket: Buffer | undefined;

  /**
   * Connected, past the handshake where the connection begins with one.
   * @param resumed ticket of an earlier connection
   * @throws Broken; Error when nobody listens, for which there is no excuse: the listening sockets are the master's, which nobody kills
   */
  static async open(port: number, attempt: Attempt, resumed: Buffer | undefined): Promise<SoakConnection> {
    const socket = connectTcp(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) => reject(new Error(`connect: ${error.message}`)));
    });
    attempt.port = socket.localPort ?? 0;
    attempt.serverPort = port;
    const connection = new SoakConnection(socket, attempt, resumed);
    if (attempt.security === 'tls') await connection.startTls();
    return connection;
  }

  private constructor(socket: Socket, attempt: Attempt, resumed: Buffer | undefined) {
    this.#socket = socket;
    this.#stream = socket;
    this.#attempt = attempt;
    this.#resumed = resumed;
    this.#client = new LineClient(socket, maxWaitMs);
  }

  /** Replaced by STARTTLS. */
  get client(): LineClient {
    return this.#client;
  }

  /** @throws Broken */
  async startTls(): Promise<void> {
    this.#socket.removeAllListeners('data');
    const session = this.#resumed === undefined ? {} : { session: this.#resumed };
    const stream = connectTls({ socket: this.#socket, servername: 'localhost', ca: testCertificate.cert, ...session });
    stream.on('session', (ticket: Buffer) => {
      this.ticket = ticket;
    });
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (!endings.has(error.code ?? '')) this.#attempt.tlsError = `${error.code ?? ''} ${error.message}`;
    });
    // The client is there first, for what comes along with the end of the handshake.
    this.#client = new LineClient(stream, maxWaitMs);
    await secured(stream);
    this.#stream = stream;
  }

  close(): void {
    this.#stream.destroy();
    this.#socket.destroy();
  }
}

function secured(stream: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(new Broken('closed in the TLS handshake'));
    const timer = setTimeout(() => reject(new Error(`no TLS within ${maxWaitMs} ms`)), maxWaitMs);
    stream.once('close', fail);
    stream.once('error', fail);
    stream.once('secureConnect', () => {
      clearTimeout(timer);
      stream.off('close', fail);
      stream.off('error', fail);
      resolve();
    });
    stream.once('close', () => clearTimeout(timer));
  });
}
