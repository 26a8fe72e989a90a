// Saving messages (APPEND, delivery): written to tmp/ and on to the disk as they come, then placed together at commit.
//
// Octets are stored as received and named `,S=n,W=n`, so that BODY[] returns them byte for byte, whatever their line ends are. Dovecot serves
// such a file the same way when its lines end in CRLF, as all received mail does. For a file with bare line feeds Dovecot computes W anew (it
// counts each LF as two octets), logs a wrong W value and renames the file, which then has W different from S and is read with
// conversion here as well.
import type { QuotaGuard, QuotaSave, ReplacedMail } from '../driver.js';
import { StorageError } from '../errors.js';
import type { AppendOptions, AppendResult, AppendTransaction, MessageWriter } from '../mailbox.js';
import { flagBit, type Uid } from '../types.js';
import type { MaildirBox } from './box.js';
import { storageErrorOf } from './file-calls.js';
import { sizedName } from './file-name.js';
import { giveName, type NameSource, takeNameBack } from './final-name.js';
import { ensureLetters } from './letters.js';
import { type MessagePlace, TemporaryMessage } from './message-writer.js';
import { type IncomingMessage, placeMessages, suffixOfNew } from './place.js';
import { syncNames, type UnsyncedFile } from './placed-syncs.js';
import { inMemory } from './reconcile.js';

/** Messages of a transaction whose files are kept open until they have their names. */
const mostOpenFiles = 16;

function unsyncedOf(file: TemporaryMessage): UnsyncedFile | undefined {
  return file.needsSync ? file : undefined;
}

export interface AppendTarget {
  readonly box: MaildirBox;
  readonly name: string;
  readonly isReadOnly: boolean;
  readonly quota: QuotaGuard;
  /** Loads the index if it is not in memory. */
  ready(signal: AbortSignal): Promise<void>;
}

interface PendingMessage {
  readonly file: TemporaryMessage;
  readonly options: AppendOptions;
  readonly dateSeconds: number;
  isEnded: boolean;
}

export class MaildirAppend implements AppendTransaction {
  readonly #target: AppendTarget;
  readonly #kind: 'append' | 'deliver';
  readonly #room: QuotaSave;
  #messages: PendingMessage[] = [];
  #writing: TemporaryMessage | undefined;
  #bytes = 0;
  #state: 'open' | 'failed' | 'done' = 'open';

  constructor(target: AppendTarget, kind: 'append' | 'deliver', replaced?: ReplacedMail) {
    this.#target = target;
    this.#room = target.quota.beginSave(replaced);
    this.#kind = kind;
  }

  add(options: AppendOptions, signal: AbortSignal): MessageWriter | Promise<MessageWriter> {
    if (this.#state !== 'open') return Promise.reject(this.#notOpen());
    try {
      const prepared = this.#prepare(options, signal);
      return prepared === undefined ? this.#begin(options) : this.#beginAfter(prepared, options);
    } catch (error) {
      return Promise.reject(this.#failed(error));
    }
  }

  async commit(signal: AbortSignal): Promise<AppendResult> {
    if (this.#state !== 'open') throw this.#notOpen();
    try {
      if (this.#writing !== undefined) throw new StorageError('cannot', 'the last message of the transaction has not ended');
      signal.throwIfAborted();
      const { box } = this.#target;
      const settled = this.#room.settle(signal);
      if (settled !== undefined) await settled;
      box.checkExists();
      const uids = this.#kind === 'deliver' ? await this.#deliver(signal) : await this.#append(signal);
      this.#state = 'done';
      for (const { file } of this.#messages) file.release();
      this.#room.commit(this.#bytes, this.#messages.length);
      this.#messages = [];
      return { uidValidity: box.state.uidValidity, uids };
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async abort(): Promise<void> {
    if (this.#state !== 'done') this.#discard();
    this.#state = 'done';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #append(signal: AbortSignal): Promise<readonly Uid[]> {
    if (this.#messages.length === 0) return [];
    if (!this.#target.box.isLoaded) await this.#target.ready(signal);
    const incoming = this.#messages.map(
      ({ file, options, dateSeconds }): IncomingMessage => ({
        source: file.source,
        how: file.how,
        baseName: sizedName(file.name, file.size, file.size),
        extension: '',
        flags: options.flags.system & ~flagBit.recent,
        keywords: options.flags.keywords,
        internalDate: dateSeconds,
        unsynced: unsyncedOf(file),
      }),
    );
    const { uids } = await placeMessages(this.#target.box, incoming, signal);
    return uids as readonly Uid[];
  }

  /** No lock and no UIDs: the next session that looks gives them. */
  async #deliver(signal: AbortSignal): Promise<readonly Uid[]> {
    const { box } = this.#target;
    const keywords = this.#messages.flatMap((message) => message.options.flags.keywords);
    if (keywords.length > 0) {
      await this.#target.ready(signal);
      await inMemory(box, () => ensureLetters(box, keywords, signal), signal);
    }
    const done: { readonly source: NameSource; readonly to: string }[] = [];
    try {
      for (const { file, options } of this.#messages) {
        const suffix = suffixOfNew(box, options.flags.system & ~flagBit.recent, options.flags.keywords);
        const to = `${suffix === '' ? box.newDir : box.curDir}/${sizedName(file.name, file.size, file.size)}${suffix}`;
        const source = { source: file.source, how: file.how };
        giveName(box, source, to);
        done.push({ source, to });
      }
      if (box.options.fsync !== 'never' && done.length > 0) {
        await syncNames(
          box,
          this.#messages.map(({ file, options: { flags } }) => ({
            flags: flags.system & ~flagBit.recent,
            keywords: flags.keywords,
            unsynced: unsyncedOf(file),
          })),
        );
      }
    } catch (error) {
      for (const { source, to } of done) takeNameBack(source, to);
      throw storageErrorOf(error, `deliver to ${box.paths.mailDir}`);
    }
    box.arrived();
    return [];
  }

  /** One message alone needs no name before its final one; for more, one fsync of their folder is less than one of each file. */
  #placeOf({ flags }: AppendOptions): MessagePlace {
    const { box } = this.#target;
    const count = this.#messages.length;
    if (count > 0 || box.disk.unnamed === undefined) return { isKept: count < mostOpenFiles, folder: undefined };
    const isForNew = (flags.system & ~flagBit.recent) === 0 && flags.keywords.length === 0;
    return { isKept: true, folder: isForNew ? box.newDir : box.curDir };
  }

  #discard(): void {
    this.#room[Symbol.dispose]();
    this.#writing?.discard();
    this.#writing = undefined;
    for (const { file } of this.#messages) file.discard();
    this.#messages = [];
  }

  #notOpen(): StorageError {
    return new StorageError('cannot', `append transaction is ${this.#state}`);
  }

  /** A failure anywhere loses the whole transaction. @returns what is told of it */
  #failed(error: unknown): unknown {
    this.#state = 'failed';
    this.#discard();
    return this.#target.box.orGone(error);
  }

  /** @returns undefined when nothing has to be waited for */
  #prepare({ flags, expectedBytes }: AppendOptions, signal: AbortSignal): Promise<void> | undefined {
    if (this.#writing !== undefined) throw new StorageError('cannot', 'the previous message of the transaction has not ended');
    const { box, isReadOnly, name } = this.#target;
    signal.throwIfAborted();
    box.checkExists();
    if (isReadOnly) throw new StorageError('read-only', `mailbox ${name} is read-only`);
    if (flags.keywords.length > 0) return this.#prepareKeywords(flags.keywords, expectedBytes, signal);
    return expectedBytes === undefined ? undefined : this.#reserve(expectedBytes);
  }

  async #prepareKeywords(keywords: readonly string[], expectedBytes: number | undefined, signal: AbortSignal): Promise<void> {
    await this.#target.ready(signal);
    const others = this.#messages.flatMap((message) => message.options.flags.keywords);
    this.#target.box.state.keywords.checkCreatable([...others, ...keywords]);
    if (expectedBytes !== undefined) await this.#reserve(expectedBytes);
  }

  async #beginAfter(prepared: Promise<void>, options: AppendOptions): Promise<MessageWriter> {
    try {
      await prepared;
      return this.#begin(options);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #begin(options: AppendOptions): MessageWriter {
    const nowMs = options.internalDateMs === undefined ? Date.now() : undefined;
    const dateSeconds = Math.min(0xfffffffe, Math.max(0, Math.floor((options.internalDateMs ?? nowMs ?? 0) / 1000)));
    const file = new TemporaryMessage(this.#target.box, { seconds: dateSeconds, nowMs }, this.#placeOf(options));
    this.#writing = file;
    const message: PendingMessage = { file, options, dateSeconds, isEnded: false };
    return { write: (chunk) => this.#write(message, chunk), end: () => this.#end(message) };
  }

  /** @returns undefined when nothing has to be waited for */
  #reserve(messageBytes: number): Promise<void> | undefined {
    return this.#room.reserve(this.#bytes + messageBytes, this.#messages.length + 1, messageBytes);
  }

  /** Most messages are short enough to be kept until their end. */
  #write(message: PendingMessage, chunk: Uint8Array): Promise<void> | undefined {
    if (this.#state !== 'open') return Promise.reject(this.#notOpen());
    try {
      this.#checkWriting(message);
      if (message.file.size + chunk.length > 0xfffffffe) throw new StorageError('too-big', 'message of 4 GB');
      return message.file.write(chunk)?.catch((error: unknown) => {
        throw this.#failed(error);
      });
    } catch (error) {
      return Promise.reject(this.#failed(error));
    }
  }

  async #end(message: PendingMessage): Promise<void> {
    if (this.#state !== 'open') throw this.#notOpen();
    try {
      this.#checkWriting(message);
      message.isEnded = true;
      const { file } = message;
      const reserved = file.size === message.options.expectedBytes ? undefined : this.#reserve(file.size);
      if (reserved !== undefined) await reserved;
      await file.end();
      this.#writing = undefined;
      this.#bytes += file.size;
      this.#messages.push(message);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #checkWriting(message: PendingMessage): void {
    if (message.isEnded || this.#writing !== message.file) throw new StorageError('cannot', 'the message has ended');
  }
}
