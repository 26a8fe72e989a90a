// Octets, timers, TLS and the order of things for one SMTP or LMTP connection.
import type { Duplex } from 'node:stream';
import type { Logger } from '#log/logger.js';
import { DotDecoder } from '#protocol/line/dot-stream.js';
import { LineReader } from '#protocol/line/line-reader.js';
import { maxCommandLineBytes, parseSmtpCommand, type SmtpCommand } from '#protocol/smtp/commands.js';
import { encodeReply, reply, type SmtpReply } from '#protocol/smtp/reply.js';
import { closeWhenHeard } from '#service-kit/close-when-heard.js';
import { writeTo } from '#service-kit/parts-stream.js';
import type { AcceptedConnection, ClientHandle, ServiceContext } from '#service-kit/role.js';
import { ChunkSource } from '#util/chunk-source.js';
import type { SmtpSession } from './session.js';
import type { MessageIntake } from './transaction.js';

/** RFC 5321 4.5.3.2.7. */
const commandTimeoutMs = 5 * 60_000;
/** RFC 5321 4.5.3.2.5. */
const dataTimeoutMs = 3 * 60_000;
/** A client that does not read its replies. */
const outputTimeoutMs = 60_000;
const maxWaitingOutputBytes = 64 * 1024;
/** After the last reply, before the connection is cut: lets the client read it. */
const lingerMs = 1_000;

export interface ConnectionOptions {
  readonly maxErrors: number;
  readonly log: Logger;
  readonly hostname: string;
}

type ReadResult = { readonly kind: 'command'; readonly command: SmtpCommand } | { readonly kind: 'gone'; readonly reason: string };

export class SmtpConnection implements ClientHandle {
  /** SMTP and LMTP know no login: never pushed out before others. */
  readonly isPreAuth = false;
  readonly startedAtMs = Date.now();
  readonly #accepted: AcceptedConnection;
  readonly #context: Pick<ServiceContext, 'startTls'>;
  readonly #session: SmtpSession;
  readonly #options: ConnectionOptions;
  #stream: Duplex;
  #source: ChunkSource;
  #reader = new LineReader(maxCommandLineBytes);
  #output = '';
  #errors = 0;
  #isStopping = false;
  #isWaiting = false;

  constructor(accepted: AcceptedConnection, context: Pick<ServiceContext, 'startTls'>, session: SmtpSession, options: ConnectionOptions) {
    this.#accepted = accepted;
    this.#context = context;
    this.#session = session;
    this.#options = options;
    this.#stream = accepted.socket;
    this.#source = new ChunkSource(this.#stream);
  }

  /** Runs to the end of the connection; never rejects. */
  async run(): Promise<void> {
    const from = this.#accepted.peer.remoteIp || 'local';
    const { log } = this.#options;
    let reason = 'Connection closed';
    log.info('session.connect', `Connect from ${from}`, { remoteIp: from });
    try {
      if (this.#accepted.listener.isTls) await this.#startTls(Buffer.alloc(0));
      this.#send(this.#session.greeting());
      reason = await this.#converse();
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    } finally {
      await this.#session.reset();
      log.info('session.disconnect', `Disconnect from ${from}: ${reason} (state=${this.#session.state})`, {
        remoteIp: from,
        reason,
        messages: this.#session.messageCount,
      });
      this.#close();
      this.#accepted.release();
    }
  }

  get title(): string {
    return `${this.#accepted.peer.remoteIp || 'local'} ${this.#session.state}`;
  }

  stop(): void {
    this.#isStopping = true;
    this.#session.stopLookups();
    if (this.#isWaiting) this.#source.interrupt();
  }

  async #converse(): Promise<string> {
    for (;;) {
      // Commands that came together are taken without waiting.
      const read = this.#nextCommand() ?? (await this.#readCommand());
      if (read.kind === 'gone') return read.reason;
      const handled = this.#session.handle(read.command);
      const step = handled instanceof Promise ? await handled : handled;
      switch (step.kind) {
        case 'reply':
          this.#send(...step.replies);
          if (step.isError) {
            this.#errors += 1;
            if (this.#errors >= this.#options.maxErrors) {
              this.#send(reply(421, '4.7.0', `${this.#options.hostname} Too many errors`));
              await this.#flush();
              return 'Too many errors';
            }
          }
          break;
        case 'data':
          this.#send(...step.replies);
          if (!(await this.#readData(step.intake))) return 'Connection closed in DATA';
          break;
        case 'chunk':
          if (!(await this.#readChunk(step.size, step.intake))) return 'Connection closed in BDAT';
          this.#send(...(await this.#session.finishChunk(step)));
          break;
        case 'starttls':
          this.#send(...step.replies);
          await this.#flush();
          if (this.#reader.pendingBytes > 0 || this.#source.hasQueued) return 'Commands pipelined after STARTTLS';
          await this.#startTls(Buffer.alloc(0));
          break;
        case 'quit':
          this.#send(...step.replies);
          await this.#flush();
          return 'Logged out';
      }
    }
  }

  /** Of what has come; undefined when that is no whole line. */
  #nextCommand(): ReadResult | undefined {
    const step = this.#reader.next();
    if (step.kind === 'line') return { kind: 'command', command: parseSmtpCommand(step.line) };
    if (step.kind === 'too-long')
      return { kind: 'command', command: { kind: 'bad', code: 500, enhanced: '5.5.2', text: 'Error: line too long' } };
    return undefined;
  }

  async #readCommand(): Promise<ReadResult> {
    for (;;) {
      const command = this.#nextCommand();
      if (command !== undefined) return command;
      const flushed = this.#flush();
      if (flushed !== undefined) await flushed;
      if (this.#isStopping) return this.#sayGoodbye();
      this.#isWaiting = true;
      const received = await this.#source.next(commandTimeoutMs);
      this.#isWaiting = false;
      if (received.kind === 'chunk') this.#reader.push(received.chunk);
      else if (this.#isStopping) return this.#sayGoodbye();
      else if (received.kind === 'end')
        return {
          kind: 'gone',
          reason: received.error === undefined ? 'Connection closed' : `Connection closed: ${received.error.message}`,
        };
      else {
        this.#send(reply(421, '4.4.2', `${this.#options.hostname} Disconnected for inactivity`));
        await this.#flush();
        return { kind: 'gone', reason: 'Disconnected for inactivity' };
      }
    }
  }

  async #sayGoodbye(): Promise<ReadResult> {
    this.#send(reply(421, '4.3.2', `${this.#options.hostname} Server shutting down`));
    await this.#flush();
    return { kind: 'gone', reason: 'Server shutting down' };
  }

  /** @returns false when the connection ended before the data did: nothing was saved */
  async #readData(intake: MessageIntake): Promise<boolean> {
    const decoder = new DotDecoder({ looksForBareNewlines: this.#session.refusesBareNewline });
    const flushed = this.#flush();
    if (flushed !== undefined) await flushed;
    let chunk = this.#reader.takeRest();
    for (;;) {
      const { content, rest } = decoder.push(chunk);
      for (const part of content) {
        const written = intake.write(part);
        if (written !== undefined) await written;
      }
      if (rest !== undefined) {
        this.#reader.push(rest);
        this.#send(...(await this.#session.finishData(intake, decoder.hasBareNewline)));
        return true;
      }
      const received = await this.#source.next(dataTimeoutMs);
      if (received.kind !== 'chunk') {
        await intake.abort();
        return false;
      }
      chunk = received.chunk;
    }
  }

  async #readChunk(size: number, intake: MessageIntake | undefined): Promise<boolean> {
    let left = size;
    let chunk = this.#reader.takeRest();
    for (;;) {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (part.length > 0) await intake?.write(part);
      if (left === 0) {
        this.#reader.push(chunk.subarray(part.length));
        return true;
      }
      await this.#flush();
      const received = await this.#source.next(dataTimeoutMs);
      if (received.kind !== 'chunk') {
        await intake?.abort();
        return false;
      }
      chunk = received.chunk;
    }
  }

  async #startTls(buffered: Buffer): Promise<void> {
    this.#source.detach();
    const { stream, peer } = await this.#context.startTls(this.#accepted, buffered);
    this.#stream = stream;
    this.#source = new ChunkSource(stream);
    this.#reader = new LineReader(maxCommandLineBytes);
    await this.#session.tlsStarted(peer);
  }

  #send(...replies: readonly SmtpReply[]): void {
    for (const one of replies) this.#output += encodeReply(one);
  }

  /** Replies go out together, when no further command is waiting (RFC 2920). @returns undefined when more may be written */
  #flush(): Promise<void> | undefined {
    if (this.#output === '') return undefined;
    const text = this.#output;
    this.#output = '';
    if (this.#stream.destroyed) return undefined;
    writeTo(this.#stream, text);
    return this.#stream.writableNeedDrain && this.#stream.writableLength >= maxWaitingOutputBytes ? this.#drained() : undefined;
  }

  #drained(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#stream;
      const finish = (error?: Error): void => {
        clearTimeout(timer);
        stream.off('drain', done);
        stream.off('close', done);
        if (error === undefined) resolve();
        else reject(error);
      };
      const done = (): void => finish();
      const timer = setTimeout(() => finish(new Error('Client does not read our replies')), outputTimeoutMs);
      stream.once('drain', done);
      stream.once('close', done);
    });
  }

  #close(): void {
    this.#source.detach();
    void closeWhenHeard(this.#stream, lingerMs);
  }
}
