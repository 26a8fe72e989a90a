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

  /** @param expectedBytes size announced by the client, for quota; undefined when unknown */
  async begin(opener: UserOpener, options: BeginOptions, signal: AbortSignal): Promise<void> {
    if (this.#user !== undefined) return;
    await this.#attempt(async () => {
      this.#user = await opener.openUser(this.recipient.user, options.service, signal);
      const mailbox = await openTarget(this.#user, this.recipient.mailbox, options, signal);
      this.#savedTo = mailbox.name;
      this.#transaction = mailbox.beginAppend('deliver');
      this.#writer = await this.#transaction.add(
        { flags: noFlags, internalDateMs: undefined, expectedBytes: options.expectedBytes },
        signal,
      );
    });
  }

  async write(chunk: Buffer): Promise<void> {
    await this.#attempt(async () => this.#writer?.write(chunk));
  }

  /** Everything was written; the transaction may still be aborted. */
  async end(): Promise<void> {
    await this.#attempt(async () => this.#writer?.end());
  }

  async commit(signal: AbortSignal): Promise<DeliveryOutcome> {
    await this.#attempt(async () => {
      await this.#transaction?.commit(signal);
      this.#transaction = undefined;
    });
    await this.#close();
    return this.#failure === undefined ? { kind: 'saved', mailbox: this.#savedTo } : { kind: 'failed', error: this.#failure };
  }

  async abort(): Promise<void> {
    await this.#close();
  }

  async #attempt(step: () => Promise<unknown>): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await step();
    } catch (error) {
      this.#failure =
        error instanceof StorageError
          ? error
          : new StorageError('unavailable', `delivery failed: ${String(error)}${errnoText(error)}`, { cause: error });
    }
  }

  async #close(): Promise<void> {
    const transaction = this.#transaction;
    const user = this.#user;
    this.#transaction = undefined;
    this.#user = undefined;
    // Nothing of a failed clean-up may hide the outcome: leftovers in tmp/ are removed by age.
    await transaction?.abort().catch(() => undefined);
    await Promise.resolve(user?.[Symbol.asyncDispose]()).catch(() => undefined);
  }
}

export interface BeginOptions {
  readonly service: string;
  readonly expectedBytes: number | undefined;
  readonly autocreate: boolean;
  readonly autosubscribe: boolean;
}

/** A missing detail mailbox falls back to INBOX, as Dovecot's LMTP does, unless it may be created. */
async function openTarget(user: MailUser, name: string, options: BeginOptions, signal: AbortSignal): Promise<Mailbox> {
  try {
    return await user.openMailbox(name, signal);
  } catch (error) {
    if (
      !(error instanceof StorageError) ||
      name === 'INBOX' ||
      (error.code !== 'not-found' && error.code !== 'invalid-name' && error.code !== 'not-selectable')
    )
      throw error;
    if (options.autocreate && error.code === 'not-found') {
      await user.create(name, { specialUse: [] }, signal);
      if (options.autosubscribe) await user.subscribe(name, true, signal);
      return await user.openMailbox(name, signal);
    }
    return await user.openMailbox('INBOX', signal);
  }
}

function errnoText(error: unknown): string {
  const errno = errnoOf(error);
  return errno === undefined ? '' : ` (${errno})`;
}
