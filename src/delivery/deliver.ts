// One message into the mailboxes of its recipients. Octets are written to all of them while they arrive; nothing is visible before commit.
import type { UserFields } from '#auth/client.js';
import { StorageError } from '#storage/errors.js';
import type { AppendTransaction, Mailbox, MessageWriter } from '#storage/mailbox.js';
import type { MailUser } from '#storage/user.js';
import { errnoOf } from '#util/coded-error.js';

/** What delivery needs of the account level (storage/mail-store.ts). */
export interface UserOpener {
  openUser(user: UserFields, service: string, signal: AbortSignal): Promise<MailUser>;
}

export interface Recipient {
  readonly user: UserFields;
  /** Envelope address as received, for headers, replies and the log. */
  readonly address: string;
  /** Mailbox to save into. */
  readonly mailbox: string;
}

export type DeliveryOutcome =
  | { readonly kind: 'saved'; readonly mailbox: string }
  | { readonly kind: 'failed'; readonly error: StorageError };

const noFlags = { system: 0, keywords: [] } as const;

/** Receives the message for one recipient. After the first failure it takes no more octets and keeps the failure for the outcome. */
export class RecipientDelivery {
  readonly recipient: Recipient;
  readonly isRemote = false;
  #beginning: Promise<void> | undefined;
  #user: MailUser | undefined;
  #transaction: AppendTransaction | undefined;
  #writer: MessageWriter | undefined;
  #failure: StorageError | undefined;
  #savedTo = '';

  constructor(recipient: Recipient) {
    this.recipient = recipient;
  }

  get failure(): StorageError | undefined {
    return this.#failure;
  }

  /** The same work at every call. @param options `expectedBytes`: size announced by the client, for quota */
  begin(opener: UserOpener, options: BeginOptions, signal: AbortSignal): Promise<void> {
    this.#beginning ??= this.#begin(opener, options, signal);
    return this.#beginning;
  }

  async #begin(opener: UserOpener, options: BeginOptions, signal: AbortSignal): Promise<void> {
    try {
      this.#user = await opener.openUser(this.recipient.user, options.service, signal);
      const { mailbox: name } = this.recipient;
      let mailbox: Mailbox;
      try {
        mailbox = await this.#user.openMailbox(name, signal);
      } catch (error) {
        mailbox = await openInstead(error, this.#user, name, options, signal);
      }
      this.#savedTo = mailbox.name;
      this.#transaction = mailbox.beginAppend('deliver');
      const added = this.#transaction.add({ flags: noFlags, internalDateMs: undefined, expectedBytes: options.expectedBytes }, signal);
      this.#writer = added instanceof Promise ? await added : added;
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Once it has begun. @returns undefined when more may be written at once */
  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#failure !== undefined) return undefined;
    return this.#writer?.write(chunk)?.catch((error: unknown) => this.#fail(error));
  }

  /** Everything was written; the transaction may still be aborted. */
  async end(): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await this.#writer?.end();
    } catch (error) {
      this.#fail(error);
    }
  }

  async commit(signal: AbortSignal): Promise<DeliveryOutcome> {
    if (this.#failure === undefined) {
      try {
        await this.#transaction?.commit(signal);
        this.#transaction = undefined;
      } catch (error) {
        this.#fail(error);
      }
    }
    await this.#close();
    return this.#failure === undefined ? { kind: 'saved', mailbox: this.#savedTo } : { kind: 'failed', error: this.#failure };
  }

  /** Also while it begins. */
  async abort(): Promise<void> {
    await this.#beginning;
    await this.#close();
  }

  #fail(error: unknown): void {
    this.#failure ??=
      error instanceof StorageError
        ? error
        : new StorageError('unavailable', `delivery failed: ${String(error)}${errnoText(error)}`, { cause: error });
  }

  async #close(): Promise<void> {
    const transaction = this.#transaction;
    const user = this.#user;
    this.#transaction = undefined;
    this.#writer = undefined;
    this.#user = undefined;
    // Nothing of a failed clean-up may hide the outcome: leftovers in tmp/ are removed by age.
    if (transaction !== undefined) await transaction.abort().catch(() => undefined);
    if (user !== undefined) await Promise.resolve(user[Symbol.asyncDispose]()).catch(() => undefined);
  }
}

export interface BeginOptions {
  readonly service: string;
  readonly expectedBytes: number | undefined;
  readonly autocreate: boolean;
  readonly autosubscribe: boolean;
}

/** A missing detail mailbox falls back to INBOX, as Dovecot's LMTP does, unless it may be created. */
async function openInstead(error: unknown, user: MailUser, name: string, options: BeginOptions, signal: AbortSignal): Promise<Mailbox> {
  if (
    !(error instanceof StorageError) ||
    name === 'INBOX' ||
    (error.code !== 'not-found' && error.code !== 'invalid-name' && error.code !== 'not-selectable')
  )
    throw error;
  if (options.autocreate && error.code === 'not-found') {
    await user.create(name, { specialUse: [] }, signal);
    if (options.autosubscribe) await user.subscribe(name, true, signal);
    return user.openMailbox(name, signal);
  }
  return user.openMailbox('INBOX', signal);
}

function errnoText(error: unknown): string {
  const errno = errnoOf(error);
  return errno === undefined ? '' : ` (${errno})`;
}
