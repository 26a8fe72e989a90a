import { type Endpoint, LineConnection } from './line-connection.js';

const lineEnd = Buffer.from('\r\n');

/** A minimal IMAP client: sends a command, waits for its tagged line, checks OK. */
export class ImapLoad {
  readonly connection: LineConnection;
  #tag = 0;

  private constructor(connection: LineConnection) {
    this.connection = connection;
  }

  static async connect(endpoint: Endpoint): Promise<ImapLoad> {
    const connection = await LineConnection.open(endpoint);
    await connection.line();
    return new ImapLoad(connection);
  }

  static async login(endpoint: Endpoint, user: string, password: string): Promise<ImapLoad> {
    const client = await ImapLoad.connect(endpoint);
    await client.command(`LOGIN ${user} ${password}`);
    return client;
  }

  /** @returns everything up to and with the tagged line. @throws Error unless OK */
  async command(text: string): Promise<Buffer> {
    const tag = this.#next();
    this.connection.write(`${tag} ${text}\r\n`);
    return this.#tagged(tag, text);
  }

  /** The same with everything after the tag and a space as it is sent. */
  async request(octets: Buffer): Promise<Buffer> {
    const tag = this.#next();
    this.connection.write(Buffer.concat([Buffer.from(`${tag} `), octets]));
    return this.#tagged(tag, octets.subarray(0, 60).toString('latin1').trim());
  }

  /** A command whose last argument is a literal, sent without waiting (LITERAL+). */
  async withLiteral(text: string, literal: Buffer): Promise<Buffer> {
    const tag = this.#next();
    // In one piece: three would cost the client more than copying them.
    this.connection.write(Buffer.concat([Buffer.from(`${tag} ${text} {${literal.length}+}\r\n`), literal, lineEnd]));
    return this.#tagged(tag, text);
  }

  /** The same for long replies, which are only counted. @returns octets up to and with the tagged line */
  count(text: string): Promise<number> {
    const tag = this.#next();
    this.connection.write(`${tag} ${text}\r\n`);
    return this.connection.countUntil((tail) => tail.at(-1) === 10 && isOk(tail, tag));
  }

  async idle(): Promise<void> {
    this.connection.write(`${this.#next()} IDLE\r\n`);
    for (;;) {
      const line = await this.connection.line();
      if (line[0] === 0x2b) return;
    }
  }

  async logout(): Promise<void> {
    await this.command('LOGOUT').catch(() => undefined);
    this.connection.close();
  }

  #next(): string {
    this.#tag += 1;
    return `t${this.#tag}`;
  }

  /**
   * The tagged line is looked for in the last line only: replies of the benchmark's mailboxes contain no literal that ends in such a line.
   */
  async #tagged(tag: string, text: string): Promise<Buffer> {
    const start = Buffer.from(`${tag} `);
    const inner = Buffer.from(`\n${tag} `);
    const reply = await this.connection.read((data) => {
      if (data.length === 0 || data[data.length - 1] !== 10) return 0;
      const lineStart = data.lastIndexOf(10, data.length - 2) + 1;
      return data.subarray(lineStart, lineStart + start.length).equals(start) ? data.length : 0;
    });
    const at = reply.subarray(0, start.length).equals(start) ? start.length : reply.lastIndexOf(inner) + inner.length;
    if (reply.subarray(at, at + 3).toString('latin1') !== 'OK ')
      throw new Error(
        `${text.slice(0, 60)}: ${reply
          .subarray(at, at + 200)
          .toString('latin1')
          .trim()}`,
      );
    return reply;
  }
}

/** The last line of what has come is this tag's, and OK. */
function isOk(tail: Buffer, tag: string): boolean {
  const line = tail.subarray(tail.lastIndexOf(10, tail.length - 2) + 1).toString('latin1');
  if (!line.startsWith(`${tag} `)) return false;
  if (!line.startsWith(`${tag} OK`)) throw new Error(line.trim());
  return true;
}
