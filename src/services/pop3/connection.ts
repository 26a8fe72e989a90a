// Octets and timers of one POP3 session after login.
import type { Duplex } from 'node:stream';
import type { Logger } from '#log/logger.js';
import { DotEncoder } from '#protocol/line/dot-stream.js';
import { LineReader } from '#protocol/line/line-reader.js';
import { maxPop3LineBytes, type Pop3Command, parsePop3Command } from '#protocol/pop3/commands.js';
import { closeWhenHeard } from '#service-kit/close-when-heard.js';
import type { MessageReader } from '#storage/mailbox.js';
import { ChunkSource } from '#util/chunk-source.js';
import type { Pop3Session } from './session.js';

/** RFC 1939 3. */
const idleTimeoutMs = 10 * 60_000;
/** A client that does not read what it asked for. */
const outputTimeoutMs = 5 * 60_000;
const maxErrors = 20;
/** Listings are sent in pieces of about this size, messages are read in pieces of it. */
const pieceBytes = 64 * 1024;
const lingerMs = 1_000;

export interface ConnectionEnd {
  readonly reason: string;
  /** True after QUIT: deletions took effect. */
  readonly isClean: boolean;
}

export class Pop3Connection {
  readonly #stream: Duplex;
  readonly #source: ChunkSource;
  readonly #reader = new LineReader(maxPop3LineBytes);
  readonly #log: Logger;
  readonly #fixesNul: boolean;
  #output = '';
  #errors = 0;
  #stopReason: string | undefined;
  #isWaiting = false;
  bytesIn = 0;
  bytesOut = 0;

  constructor(stream: Duplex, log: Logger, options: { readonly fixesNul: boolean }) {
    this.#stream = stream;
    this.#source = new ChunkSource(stream);
    this.#log = log;
    this.#fixesNul = options.fixesNul;
  }

  /** Ends the session at the next moment it waits for a command. */
  stop(reason: string): void {
    this.#stopReason = reason;
    if (this.#isWaiting) this.#source.interrupt();
  }

  send(text: string): void {
    this.#output += text;
  }

  /** Serves commands until the session ends; rejects only for failures of the server. */
  async serve(session: Pop3Session, signal: AbortSignal): Promise<ConnectionEnd> {
    for (;;) {
      const read = await this.#readCommand();
      if ('reason' in read) return read;
      const step = await session.handle(read, signal);
      switch (step.kind) {
        case 'text':
          this.#output += step.text;
          if (step.isError && read.kind === 'bad' && ++this.#errors >= maxErrors) {
            this.#output += '-ERR Too many invalid bad commands.\r\n';
            await this.flush();
            return { reason: 'Disconnected: Too many bad commands', isClean: false };
          }
          break;
        case 'lines':
          await this.#sendLines(step.head, step.lines);
          break;
        case 'message':
          try {
            this.#output += step.head;
            const sent = await this.#sendMessage(step.reader, step.bodyLines);
            if (step.bodyLines !== undefined) session.counters.topBytes += sent;
          } finally {
            await step.reader.close();
          }
          break;
        case 'quit':
          this.#output += step.text;
          await this.flush();
          return { reason: 'Logged out', isClean: true };
      }
    }
  }

  async #readCommand(): Promise<Pop3Command | ConnectionEnd> {
    for (;;) {
      const step = this.#reader.next();
      if (step.kind === 'line') return parsePop3Command(step.line);
      if (step.kind === 'too-long') return { kind: 'bad', text: 'Input line too long' };
      await this.flush();
      if (this.#stopReason !== undefined) return this.#goodbye(this.#stopReason);
      this.#isWaiting = true;
      const received = await this.#source.next(idleTimeoutMs);
      this.#isWaiting = false;
      if (received.kind === 'chunk') {
        this.bytesIn += received.chunk.length;
        this.#reader.push(received.chunk);
      } else if (this.#stopReason !== undefined) return this.#goodbye(this.#stopReason);
      else if (received.kind === 'end')
        return {
          reason: received.error === undefined ? 'Connection closed' : `Connection closed: ${received.error.message}`,
          isClean: false,
        };
      else return this.#goodbye('Disconnected for inactivity');
    }
  }

  async #goodbye(reason: string): Promise<ConnectionEnd> {
    this.#output += `-ERR [SYS/TEMP] ${reason}.\r\n`;
    await this.flush();
    return { reason, isClean: false };
  }

  async #sendLines(head: string, lines: Iterable<string>): Promise<void> {
    this.#output += head;
    for (const line of lines) {
      this.#output += `${line}\r\n`;
      if (this.#output.length >= pieceBytes) await this.flush();
    }
    this.#output += '.\r\n';
  }

  /** @returns octets of the message that were sent */
  async #sendMessage(reader: MessageReader, bodyLines: number | undefined): Promise<number> {
    const end = bodyLines === undefined ? reader.size : await endOfTop(reader, bodyLines);
    const encoder = new DotEncoder();
    for (let offset = 0; offset < end; offset += pieceBytes) {
      const piece = await reader.read(offset, Math.min(pieceBytes, end - offset));
      if (piece.length === 0) break;
      // Outlook stops at a NUL octet.
      if (this.#fixesNul) for (let at = piece.indexOf(0); at >= 0; at = piece.indexOf(0, at + 1)) piece[at] = 0x80;
      await this.#write(encoder.encode(piece));
    }
    await this.#write([encoder.end()]);
    return end;
  }

  async #write(buffers: readonly Buffer[]): Promise<void> {
    this.#stream.cork();
    if (this.#output !== '') this.#writeOutput();
    for (const buffer of buffers) {
      this.bytesOut += buffer.length;
      this.#stream.write(buffer);
    }
    this.#stream.uncork();
    await this.#drained();
  }

  async flush(): Promise<void> {
    if (this.#output === '') return;
    this.#writeOutput();
    await this.#drained();
  }

  #writeOutput(): void {
    this.bytesOut += this.#output.length;
    this.#stream.write(this.#output, 'latin1');
    this.#output = '';
  }

  async #drained(): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed) throw new Error('Connection closed');
    if (stream.writableLength < pieceBytes) return;
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer);
        stream.off('drain', done);
        stream.off('close', closed);
        if (error === undefined) resolve();
        else reject(error);
      };
      const done = (): void => finish();
      const closed = (): void => finish(new Error('Connection closed'));
      const timer = setTimeout(() => finish(new Error('Client does not read our replies')), outputTimeoutMs);
      stream.once('drain', done);
      stream.once('close', closed);
    });
  }

  close(): void {
    this.#source.detach();
    const stream = this.#stream;
    stream.on('error', (error) => this.#log.debug('session.late-error', `after the session: ${error.message}`));
    void closeWhenHeard(stream, lingerMs);
  }
}

/** Offset after the header, the empty line and so many body lines (RFC 1939 7, TOP). */
async function endOfTop(reader: MessageReader, bodyLines: number): Promise<number> {
  let offset = 0;
  let lineLength = 0;
  let left = -1;
  let lastByte = 0;
  while (offset < reader.size) {
    const piece = await reader.read(offset, pieceBytes);
    if (piece.length === 0) break;
    let from = 0;
    for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, from)) {
      const length = lineLength + at - from + 1;
      const isEmpty = length === 1 || (length === 2 && (at === 0 ? lastByte : piece[at - 1]) === 13);
      lineLength = 0;
      from = at + 1;
      if (left < 0) {
        if (isEmpty) left = bodyLines;
      } else left -= 1;
      if (left === 0) return offset + from;
    }
    lineLength += piece.length - from;
    lastByte = piece[piece.length - 1] ?? 0;
    offset += piece.length;
  }
  return reader.size;
}
