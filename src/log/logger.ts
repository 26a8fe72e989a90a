// Structured logging through pino. The message is Dovecot's wording; the fields beside it carry the values with types.
// One JSON object a line on file descriptor 2; the master turns it into text on a terminal (log/format.ts) and writes files.
import pino, { type DestinationStream, type Logger as PinoLogger } from 'pino';

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
  readonly #root: PinoLogger;
  readonly #fields: LogFields;
  readonly #pino: PinoLogger;
  /** @param root without fields: pino would write a field that a child sets again twice */
  constructor(root: PinoLogger, fields: LogFields) {
    this.#root = root;
    this.#fields = fields;
    this.#pino = root.child(fields);
  }
  get isDebug(): boolean {
    return this.#pino.isLevelEnabled('debug');
  }
  error(event: string, text: string, fields?: LogFields): void {
    this.#pino.error({ ...fields, event }, text);
  }
  warning(event: string, text: string, fields?: LogFields): void {
    this.#pino.warn({ ...fields, event }, text);
  }
  info(event: string, text: string, fields?: LogFields): void {
    this.#pino.info({ ...fields, event }, text);
  }
  debug(event: string, text: string, fields?: LogFields): void {
    this.#pino.debug({ ...fields, event }, text);
  }
  child(fields: LogFields, prefix?: string): Logger {
    return new PinoBackedLogger(this.#root, { ...this.#fields, ...fields, ...(prefix === undefined ? {} : { prefix }) });
  }
}

/** Lines go to `destination`, or to file descriptor 2. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? pino.destination({ fd: 2, sync: true });
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
