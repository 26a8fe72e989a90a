import type { QuotaSave, ReplacedMail } from '../driver.js';
import { StorageError } from '../errors.js';
import type { AppendOptions, AppendResult, AppendTransaction, MessageWriter } from '../mailbox.js';
import type { MemoryStore, NewMessage } from './store.js';

/** Messages are gathered in memory and enter the mailbox together at commit. */
export class MemoryAppend implements AppendTransaction {
  readonly #mailbox: MemoryStore;
  readonly #kind: 'append' | 'deliver';
  readonly #room: QuotaSave;
  #messages: NewMessage[] = [];
  #bytes = 0;
  #isWriting = false;
  #state: 'open' | 'failed' | 'done' = 'open';

  constructor(mailbox: MemoryStore, kind: 'append' | 'deliver', replaced?: ReplacedMail) {
    this.#mailbox = mailbox;
    this.#room = mailbox.quota.beginSave(replaced);
    this.#kind = kind;
  }

  async add(options: AppendOptions, signal: AbortSignal): Promise<MessageWriter> {
    return this.#step(async () => {
      if (this.#isWriting) throw new StorageError('cannot', 'the previous message of the transaction has not ended');
      this.#mailbox.check(signal);
      if (this.#mailbox.isReadOnly) throw new StorageError('read-only', `mailbox ${this.#mailbox.name} is read-only`);
      this.#mailbox.keywordTable.checkCreatable([...this.#messages.flatMap((message) => message.keywords), ...options.flags.keywords]);
      if (options.expectedBytes !== undefined) await this.#reserve(options.expectedBytes);
      this.#isWriting = true;
      return this.#writer(options);
    });
  }

  async commit(signal: AbortSignal): Promise<AppendResult> {
    return this.#step(async () => {
      if (this.#isWriting) throw new StorageError('cannot', 'the last message of the transaction has not ended');
      this.#mailbox.check(signal);
      this.#mailbox.keywordTable.checkCreatable(this.#messages.flatMap((message) => message.keywords));
      const result = this.#mailbox.insert(this.#messages);
      this.#room.commit(this.#bytes, this.#messages.length);
      this.#finish();
      return this.#kind === 'deliver' ? { ...result, uids: [] } : result;
    });
  }

  async abort(): Promise<void> {
    this.#finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#finish();
  }

  #finish(): void {
    this.#room[Symbol.dispose]();
    this.#state = 'done';
    this.#messages = [];
  }

  /** A failure anywhere loses the whole transaction. */
  async #step<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#state !== 'open') throw new StorageError('cannot', `append transaction is ${this.#state}`);
    try {
      return await work();
    } catch (error) {
      this.#room[Symbol.dispose]();
      this.#state = 'failed';
      this.#messages = [];
      throw error;
    }
  }

  async #reserve(messageBytes: number): Promise<void> {
    await this.#room.reserve(this.#bytes + messageBytes, this.#messages.length + 1, messageBytes);
  }

  #writer(options: AppendOptions): MessageWriter {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    let isEnded = false;
    const checkOpen = (): void => {
      if (isEnded) throw new StorageError('cannot', 'the message has ended');
    };
    return {
      write: (chunk) =>
        this.#step(async () => {
          checkOpen();
          chunks.push(chunk);
          bytes += chunk.length;
        }),
      end: () =>
        this.#step(async () => {
          checkOpen();
          isEnded = true;
          if (bytes !== options.expectedBytes) await this.#reserve(bytes);
          this.#isWriting = false;
          this.#bytes += bytes;
          this.#messages.push({
            content: Buffer.concat(chunks, bytes),
            flags: options.flags.system,
            keywords: options.flags.keywords,
            internalDateMs: options.internalDateMs,
            guid: undefined,
          });
        }),
    };
  }
}
