// Structured logging through pino. The message is Dovecot's wording; the fields beside it carry the values with types.
// One JSON object a line on file descriptor 2; the master turns it into text on a terminal (log/format.ts) and writes files.
import { writeSync } from 'node:fs';
import pino, { type DestinationStream, type Logger as PinoLogger } from 'pino';
import { errnoOf } from '#util/coded-error.js';

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * error: an operator must act; warning: degraded; info: life cycle; debug: protocol. Never a password, a SASL payload or message text.
 * `event` is a stable dotted name (`session.login`), `text` the line a person reads.
 */
export interface Logger {
  error(event: string, text: string, fields?: LogFields): void;
  warning(event: string, text: string, fields?: LogFields): void;
  info(event: string, text: string, fields?: LogFields): void;
  debug(event: string, text: string, fields?: LogFields): void;
  /** A logger whose lines also carry these fields; `prefix` replaces the line prefix (`imap(bob)<1234><abc>: `). */
  child(fields: LogFields, prefix?: string): Logger;
  /** True when debug lines are wanted, so that callers need not build them. */
  readonly isDebug: boolean;
}

export interface LoggerOptions {
  /** `imap-login: `, printed before the level in text form. */
  readonly prefix: string;
  readonly debug: boolean;
  readonly destination?: DestinationStream;
}

class PinoBackedLogger implements Logger {
  readonly #pino: PinoLogger;
  readonly #fields: LogFields;
  /** @param pino without fields: a child of its own for each session would cost more than the few lines that a session writes */
  constructor(pino: PinoLogger, fields: LogFields) {
    this.#pino = pino;
    this.#fields = fields;
  }
  get isDebug(): boolean {
    return this.#pino.isLevelEnabled('debug');
  }
  /** Each field once, however often it is set. */
  #line(event: string, fields: LogFields | undefined): LogFields {
    return Object.assign({}, this.#fields, fields, { event });
  }
  error(event: string, text: string, fields?: LogFields): void {
    this.#pino.error(this.#line(event, fields), text);
  }
  warning(event: string, text: string, fields?: LogFields): void {
    this.#pino.warn(this.#line(event, fields), text);
  }
  info(event: string, text: string, fields?: LogFields): void {
    this.#pino.info(this.#line(event, fields), text);
  }
  debug(event: string, text: string, fields?: LogFields): void {
    if (!this.isDebug) return;
    this.#pino.debug(this.#line(event, fields), text);
  }
  child(fields: LogFields, prefix?: string): Logger {
    return new PinoBackedLogger(this.#pino, Object.assign({}, this.#fields, fields, prefix === undefined ? undefined : { prefix }));
  }
}

const standardError = 2;
/** Lines that wait are written before they become more than this. */
const maxWaitingCharacters = 64 * 1024;
/** Least time between two writes of lines that may wait. A write costs more than its lines, and wakes the master up as well. */
const pauseMs = 50;

/**
 * Standard error. A line after a pause leaves at the end of the turn of the event loop, those that follow closely leave together; errors, which
 * may be last words, at once with all before them. A process that is killed without warning loses what it logged in its last 50 ms.
 */
class StandardError implements DestinationStream {
  #waiting = '';
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  readonly #flushLater = (): void => this.#flush();

  constructor() {
    process.on('exit', this.#flushLater);
  }

  write(line: string): void {
    if (this.#waiting === '') {
      const waitMs = this.#writtenAtMs + pauseMs - performance.now();
      // Unreferenced: the exit writes what is left, and nothing else may keep a process that has ended its work.
      if (waitMs > 0) setTimeout(this.#flushLater, waitMs).unref();
      else setImmediate(this.#flushLater);
    }
    this.#waiting += line;
    if (this.#waiting.length > maxWaitingCharacters || line.startsWith('{"level":"error"')) this.#flush();
  }

  #flush(): void {
    if (this.#waiting === '') return;
    const octets = Buffer.from(this.#waiting);
    this.#waiting = '';
    this.#writtenAtMs = performance.now();
    for (let at = 0; at < octets.length; ) {
      try {
        at += writeSync(standardError, octets, at);
      } catch (error) {
        // Full for the moment; how long that lasts is for its reader to say. Without a reader there is nobody left to tell.
        if (errnoOf(error) !== 'EAGAIN') return;
      }
    }
  }
}

const shared: { standardError: StandardError | undefined } = { standardError: undefined };

/** Lines go to `destination`, or to file descriptor 2. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? standardErrorOfProcess();
  const backend = pino(
    {
      level: options.debug ? 'debug' : 'info',
      base: { pid: process.pid },
      timestamp: () => `,"time":${Date.now()}`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
      messageKey: 'message',
      serializers: { error: pino.stdSerializers.err },
    },
    destination,
  );
  return new PinoBackedLogger(backend, { prefix: options.prefix });
}

function standardErrorOfProcess(): StandardError {
  shared.standardError ??= new StandardError();
  return shared.standardError;
}

const discard = (): void => undefined;
/** Drops everything; for tests of parts that log. */
export const silentLogger: Logger = {
  error: discard,
  warning: discard,
  info: discard,
  debug: discard,
  child: () => silentLogger,
  isDebug: false,
};
