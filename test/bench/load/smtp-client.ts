import { type Endpoint, LineConnection } from './line-connection.js';

/** A minimal SMTP or LMTP client with one transaction after the other on one connection. */
export class SmtpLoad {
  readonly connection: LineConnection;
  readonly #isLmtp: boolean;

  private constructor(connection: LineConnection, isLmtp: boolean) {
    this.connection = connection;
    this.#isLmtp = isLmtp;
  }

  static async connect(endpoint: Endpoint, isLmtp: boolean): Promise<SmtpLoad> {
    const connection = await LineConnection.open(endpoint);
    const client = new SmtpLoad(connection, isLmtp);
    await client.#expect(220);
    connection.write(`${isLmtp ? 'LHLO' : 'EHLO'} bench.test\r\n`);
    await client.#expect(250);
    return client;
  }

  /** @param message dot-stuffed and without the closing line */
  async deliver(sender: string, recipient: string, message: Buffer): Promise<void> {
    const { connection } = this;
    connection.write(`MAIL FROM:<${sender}>\r\nRCPT TO:<${recipient}>\r\nDATA\r\n`);
    await this.#expect(250);
    await this.#expect(250);
    await this.#expect(354);
    connection.cork();
    connection.write(message);
    connection.write('.\r\n');
    connection.uncork();
    await this.#expect(250);
  }

  async quit(): Promise<void> {
    this.connection.write('QUIT\r\n');
    await this.#expect(221).catch(() => undefined);
    this.connection.close();
  }

  get isLmtp(): boolean {
    return this.#isLmtp;
  }

  /** Reads one reply, all its lines. */
  async #expect(code: number): Promise<void> {
    for (;;) {
      const line = (await this.connection.line()).toString('latin1');
      if (line[3] === '-') continue;
      if (Number(line.slice(0, 3)) !== code) throw new Error(`expected ${code}, got ${line.trim()}`);
      return;
    }
  }
}
