import type { Duplex } from 'node:stream';
import { constants, createDeflateRaw, createInflateRaw, type DeflateRaw } from 'node:zlib';
import { patienceMs } from './patience.js';

/** Reads replies as logical lines: a line with its literals. Lines are binary strings (one char per octet) without the last CRLF. */
export class LineClient {
  readonly stream: Duplex;
  /** How long one line may take. */
  maxWaitMs: number;
  #received = '';
  #lines: string[] = [];
  #waiting: (() => void) | undefined;
  #isClosed = false;
  #tags = 0;
  #deflate: DeflateRaw | undefined;

  /** @param maxWaitMs how long one line may take */
  constructor(stream: Duplex, maxWaitMs = patienceMs) {
    this.stream = stream;
    this.maxWaitMs = maxWaitMs;
    stream.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('latin1');
      this.#split();
    });
    for (const event of ['end', 'close', 'error']) stream.on(event, this.#onClosed);
    // As sockets do.
    stream.on('end', () => stream.end());
  }

  readonly #onClosed = (): void => {
    this.#isClosed = true;
    this.#waiting?.();
  };

  #split(): void {
    for (;;) {
      let from = 0;
      let end = -1;
      for (;;) {
        end = this.#received.indexOf('\r\n', from);
        if (end < 0) return;
        const marker = /\{(\d+)\}$/.exec(this.#received.slice(Math.max(0, end - 16), end));
        if (marker === null) break;
        from = end + 2 + Number(marker[1]);
        if (from > this.#received.length) return;
      }
      this.#lines.push(this.#received.slice(0, end));
      this.#received = this.#received.slice(end + 2);
      this.#waiting?.();
    }
  }

  get isClosed(): boolean {
    return this.#isClosed && this.#lines.length === 0;
  }

  /** Lines that came and were not read. */
  get unread(): readonly string[] {
    return this.#lines;
  }

  raw(binary: string): void {
    const octets = Buffer.from(binary, 'latin1');
    if (this.#deflate === undefined) {
      this.stream.write(octets);
      return;
    }
    this.#deflate.write(octets);
    this.#deflate.flush(constants.Z_SYNC_FLUSH);
  }

  /** From here on both directions are compressed (RFC 4978): the OK to COMPRESS has been read. */
  compress(): void {
    const inflate = createInflateRaw();
    const deflate = createDeflateRaw();
    const ahead = Buffer.from(this.#received, 'latin1');
    this.#received = '';
    this.stream.removeAllListeners('data');
    this.stream.on('data', (chunk: Buffer) => inflate.write(chunk));
    // What came before the end is still being inflated then. A stream that is cut off ends with an error.
    for (const event of ['end', 'close']) {
      this.stream.off(event, this.#onClosed);
      this.stream.on(event, () => inflate.end());
    }
    for (const event of ['end', 'error']) inflate.on(event, this.#onClosed);
    deflate.on('error', () => undefined);
    inflate.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('latin1');
      this.#split();
    });
    deflate.on('data', (chunk: Buffer) => this.stream.write(chunk));
    if (ahead.length > 0) inflate.write(ahead);
    this.#deflate = deflate;
  }

  /** @returns the tag */
  send(command: string): string {
    this.#tags += 1;
    const tag = `t${this.#tags}`;
    this.raw(`${tag} ${command}\r\n`);
    return tag;
  }

  /** The next line; undefined when the connection is closed. */
  async line(): Promise<string | undefined> {
    const deadline = Date.now() + this.maxWaitMs;
    while (this.#lines.length === 0) {
      if (this.#isClosed) return undefined;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no reply within ${this.maxWaitMs} ms; unfinished: ${JSON.stringify(this.#received.slice(0, 200))}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#waiting = undefined;
    }
    return this.#lines.shift();
  }

  /** Sends a command and reads up to its tagged reply. @returns untagged lines, then the tagged one without its tag */
  async run(command: string): Promise<string[]> {
    const tag = this.send(command);
    const lines: string[] = [];
    for (;;) {
      const line = await this.line();
      if (line === undefined) throw new Error(`connection closed while waiting for ${tag} (${command})`);
      if (line.startsWith(`${tag} `)) return [...lines, line.slice(tag.length + 1)];
      lines.push(line);
    }
  }

  /** The same; fails unless the command ends with OK. */
  async ok(command: string): Promise<string[]> {
    const lines = await this.run(command);
    const last = lines.pop() ?? '';
    if (!last.startsWith('OK')) throw new Error(`${command}: ${last}`);
    return lines;
  }

  close(): void {
    this.stream.destroy();
  }
}
