import { type Endpoint, LineConnection } from './line-connection.js';
import type { Delivery } from './plan.js';

/** Name of what is answered, for errors, and the code wanted. */
type Expected = readonly [name: string, code: number];

/** A minimal SMTP or LMTP client that delivers one message again and again: the envelope and DATA in one write (PIPELINING), then the message, or all in one (BDAT). */
export class SmtpLoad {
  readonly #connection: LineConnection;
  readonly #message: Buffer;
  readonly #isChunked: boolean;
  readonly #envelope: string;
  readonly #envelopeReplies: readonly Expected[];
  readonly #contentReplies: readonly Expected[];
  /** Something else was answered than was wanted. */
  #hasFailed = false;

  private constructor(connection: LineConnection, { protocol, sender, recipients, message, isChunked }: Delivery) {
    this.#connection = connection;
    this.#message = message;
    const commands = [`MAIL FROM:<${sender}>`, ...recipients.map((recipient) => `RCPT TO:<${recipient}>`)];
    this.#isChunked = isChunked;
    const last = isChunked ? `BDAT ${message.length} LAST` : 'DATA';
    this.#envelope = [...commands, last].map((command) => `${command}\r\n`).join('');
    const replies = commands.map((name): Expected => [name, 250]);
    this.#envelopeReplies = isChunked ? replies : [...replies, ['DATA', 354]];
    this.#contentReplies =
      protocol === 'lmtp' ? recipients.map((recipient): Expected => [`message to <${recipient}>`, 250]) : [['message', 250]];
  }

  /** @throws Error with the server's words when it is not ready */
  static async connect(endpoint: Endpoint, delivery: Delivery): Promise<SmtpLoad> {
    const connection = await LineConnection.open(endpoint);
    const client = new SmtpLoad(connection, delivery);
    try {
      await client.#expect(['greeting', 220]);
      const hello = `${delivery.protocol === 'lmtp' ? 'LHLO' : 'EHLO'} bench.test`;
      connection.write(`${hello}\r\n`);
      await client.#expect([hello, 250]);
      return client;
    } catch (error) {
      await client.quit();
      throw error;
    }
  }

  /** @throws Error with the server's words unless all recipients have got it */
  async deliver(): Promise<void> {
    const connection = this.#connection;
    connection.cork();
    connection.write(this.#envelope);
    if (this.#isChunked) connection.write(this.#message);
    connection.uncork();
    for (const expected of this.#envelopeReplies) await this.#expect(expected);
    if (!this.#isChunked) {
      connection.cork();
      connection.write(this.#message);
      connection.write('.\r\n');
      connection.uncork();
    }
    for (const expected of this.#contentReplies) await this.#expect(expected);
  }

  async quit(): Promise<void> {
    if (!this.#hasFailed) {
      this.#connection.write('QUIT\r\n');
      await this.#expect(['QUIT', 221]).catch(() => undefined);
    }
    this.#connection.close();
  }

  /** Reads one reply, all its lines. */
  async #expect([name, code]: Expected): Promise<void> {
    for (;;) {
      const line = (await this.#connection.line()).toString('latin1');
      if (line[3] === '-') continue;
      this.#hasFailed = Number(line.slice(0, 3)) !== code;
      if (this.#hasFailed) throw new Error(`${name}: ${line.trim()}`);
      return;
    }
  }
}
