// Commands of the transaction state (RFC 1939 5, RFC 2449) over a maildrop. Octets, timers and the login reply are connection.ts.
import type { Pop3Command } from '#protocol/pop3/commands.js';
import { StorageError } from '#storage/errors.js';
import type { MessageReader } from '#storage/mailbox.js';
import type { Maildrop } from './maildrop.js';

export interface SessionOptions {
  readonly setsSeen: boolean;
  readonly offersLast: boolean;
  readonly expunges: boolean;
}

export interface SessionCounters {
  topCount: number;
  topBytes: number;
  retrCount: number;
  retrBytes: number;
  deletedCount: number;
}

/** Replies in pieces of bounded size; a message is sent by `sendMessage`. */
export type Step =
  | { readonly kind: 'text'; readonly text: string; readonly isError: boolean }
  | { readonly kind: 'lines'; readonly head: string; readonly lines: Iterable<string> }
  | {
      readonly kind: 'message';
      readonly reader: MessageReader;
      readonly head: string /** Undefined: all of it; else the header and this many body lines. */;
      readonly bodyLines: number | undefined;
    }
  | { readonly kind: 'quit'; readonly text: string };

const ok = (text: string): Step => ({ kind: 'text', text: `+OK ${text}\r\n`, isError: false });
const error = (text: string): Step => ({ kind: 'text', text: `-ERR ${text}\r\n`, isError: true });

export class Pop3Session {
  readonly counters: SessionCounters = { topCount: 0, topBytes: 0, retrCount: 0, retrBytes: 0, deletedCount: 0 };
  readonly #maildrop: Maildrop;
  readonly #options: SessionOptions;

  constructor(maildrop: Maildrop, options: SessionOptions) {
    this.#maildrop = maildrop;
    this.#options = options;
  }

  async handle(command: Pop3Command, signal: AbortSignal): Promise<Step> {
    const drop = this.#maildrop;
    switch (command.kind) {
      case 'stat':
        return ok(`${drop.remaining.count} ${drop.remaining.bytes}`);
      case 'noop':
        return ok('');
      case 'rset':
        drop.reset();
        return ok('');
      case 'last':
        return this.#options.offersLast ? ok(String(drop.last())) : error('Unknown command: LAST');
      case 'capa':
        return { kind: 'lines', head: '+OK\r\n', lines: this.#capabilities() };
      case 'list':
        if (command.message !== undefined) return this.#withMessage(command.message, (number) => ok(`${number} ${drop.sizeOf(number)}`));
        return {
          kind: 'lines',
          head: `+OK ${drop.remaining.count} messages:\r\n`,
          lines: this.#each((number) => `${number} ${drop.sizeOf(number)}`),
        };
      case 'uidl': {
        const uidls = await drop.uidls(signal);
        if (command.message !== undefined) return this.#withMessage(command.message, (number) => ok(`${number} ${uidls[number - 1]}`));
        return { kind: 'lines', head: '+OK\r\n', lines: this.#each((number) => `${number} ${uidls[number - 1]}`) };
      }
      case 'retr':
        return this.#withMessage(command.message, async (number) => {
          const reader = await this.#open(number, signal);
          if (reader === undefined) return error('[SYS/TEMP] Message is gone');
          drop.markSeen(number);
          this.counters.retrCount += 1;
          this.counters.retrBytes += reader.size;
          return { kind: 'message', reader, head: `+OK ${reader.size} octets\r\n`, bodyLines: undefined };
        });
      case 'top':
        return this.#withMessage(command.message, async (number) => {
          const reader = await this.#open(number, signal);
          if (reader === undefined) return error('[SYS/TEMP] Message is gone');
          this.counters.topCount += 1;
          return { kind: 'message', reader, head: '+OK\r\n', bodyLines: command.lines };
        });
      case 'dele':
        return this.#withMessage(command.message, (number) => {
          drop.delete(number);
          return ok('Marked to be deleted.');
        });
      case 'quit':
        return this.#quit(signal);
      case 'bad':
        return error(command.text);
    }
  }

  /** The connection is gone without QUIT: flags of what was read are kept, nothing is deleted. */
  async abandon(signal: AbortSignal): Promise<void> {
    await this.#maildrop.commit({ deletes: false, setsSeen: this.#options.setsSeen, expunges: false }, signal);
  }

  *#capabilities(): Iterable<string> {
    yield* ['CAPA', 'TOP', 'UIDL', 'RESP-CODES', 'PIPELINING', 'AUTH-RESP-CODE', 'IMPLEMENTATION Roost'];
  }

  *#each(line: (number: number) => string): Iterable<string> {
    for (let number = 1; number <= this.#maildrop.count; number++) if (!this.#maildrop.isDeleted(number)) yield line(number);
  }

  async #withMessage(number: number, work: (number: number) => Step | Promise<Step>): Promise<Step> {
    if (number < 1 || number > this.#maildrop.count) return error(`There's no message ${number}.`);
    if (this.#maildrop.isDeleted(number)) return error('Message is deleted.');
    return work(number);
  }

  async #open(number: number, signal: AbortSignal): Promise<MessageReader | undefined> {
    try {
      return await this.#maildrop.open(number, signal);
    } catch (failure) {
      if (failure instanceof StorageError && failure.code === 'expunged') return undefined;
      throw failure;
    }
  }

  async #quit(signal: AbortSignal): Promise<Step> {
    try {
      const { deleted } = await this.#maildrop.commit(
        { deletes: true, setsSeen: this.#options.setsSeen, expunges: this.#options.expunges },
        signal,
      );
      this.counters.deletedCount = deleted;
      return { kind: 'quit', text: deleted > 0 ? '+OK Logging out, messages deleted.\r\n' : '+OK Logging out.\r\n' };
    } catch (failure) {
      if (!(failure instanceof StorageError)) throw failure;
      return { kind: 'quit', text: '-ERR [SYS/TEMP] Some messages could not be deleted.\r\n' };
    }
  }
}
