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
import { type IncomingMessage, placeMessages, suffixOfNew, syncNames, type UnsyncedFile } from './place.js';
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

  async add(options: AppendOptions, signal: AbortSignal): Promise<MessageWriter> {
    return this.#step(async () => {
      if (this.#writing !== undefined) throw new StorageError('cannot', 'the previous message of the transaction has not ended');
      const { box, isReadOnly, name } = this.#target;
      signal.throwIfAborted();
      box.checkExists();
      if (isReadOnly) throw new StorageError('read-only', `mailbox ${name} is read-only`);
      if (options.flags.keywords.length > 0) {
        await this.#target.ready(signal);
        const others = this.#messages.flatMap((message) => message.options.flags.keywords);
        box.state.keywords.checkCreatable([...others, ...options.flags.keywords]);
      }
      if (options.expectedBytes !== undefined) await this.#reserve(options.expectedBytes);
      const nowMs = options.internalDateMs === undefined ? Date.now() : undefined;
      const dateSeconds = Math.min(0xfffffffe, Math.max(0, Math.floor((options.internalDateMs ?? nowMs ?? 0) / 1000)));
      const file = new TemporaryMessage(box, { seconds: dateSeconds, nowMs }, this.#placeOf(options));
      this.#writing = file;
      return this.#writer({ file, options, dateSeconds });
    });
  }

  async commit(signal: AbortSignal): Promise<AppendResult> {
    return this.#step(async () => {
      if (this.#writing !== undefined) throw new StorageError('cannot', 'the last message of the transaction has not ended');
      signal.throwIfAborted();
      const { box } = this.#target;
      await this.#room.settle(signal);
      box.checkExists();
      const uids = this.#kind === 'deliver' ? await this.#deliver(signal) : await this.#append(signal);
      this.#state = 'done';
      for (const { file } of this.#messages) file.release();
      this.#room.commit(this.#bytes, this.#messages.length);
      this.#messages = [];
      return { uidValidity: box.state.uidValidity, uids };
    });
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
    await this.#target.ready(signal);
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

  /** A failure anywhere loses the whole transaction. */
  async #step<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#state !== 'open') throw new StorageError('cannot', `append transaction is ${this.#state}`);
    try {
      return await work();
    } catch (error) {
      this.#state = 'failed';
      this.#discard();
      throw this.#target.box.orGone(error);
    }
  }

  async #reserve(messageBytes: number): Promise<void> {
    await this.#room.reserve(this.#bytes + messageBytes, this.#messages.length + 1, messageBytes);
  }

  #writer(message: PendingMessage): MessageWriter {
    let isEnded = false;
    const checkOpen = (): void => {
      if (isEnded || this.#writing !== message.file) throw new StorageError('cannot', 'the message has ended');
    };
    return {
      write: (chunk) =>
        this.#step(async () => {
          checkOpen();
          if (message.file.size + chunk.length > 0xfffffffe) throw new StorageError('too-big', 'message of 4 GB');
          await message.file.write(chunk);
        }),
      end: () =>
        this.#step(async () => {
          checkOpen();
          isEnded = true;
          if (message.file.size !== message.options.expectedBytes) await this.#reserve(message.file.size);
          await message.file.end();
          this.#writing = undefined;
          this.#bytes += message.file.size;
          this.#messages.push(message);
        }),
    };
  }
}
