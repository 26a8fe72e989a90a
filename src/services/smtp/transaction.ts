// One mail transaction: sender, recipients, the message on its way into their mailboxes, and the outcome for each.

import type { BeginOptions, DeliveryOutcome, Recipient, UserOpener } from '#delivery/deliver.js';
import { HeaderFacts } from '#delivery/header-facts.js';
import type { MailPath } from '#protocol/smtp/address.js';
import type { StorageError } from '#storage/errors.js';

/** The message on its way to one recipient; delivery/deliver.ts, or remote-delivery.ts. After the first failure it takes no more octets. */
export interface Delivery {
  readonly recipient: Recipient;
  /** Another process delivers, and logs it. */
  readonly isRemote: boolean;
  readonly failure: StorageError | undefined;
  begin(opener: UserOpener, options: BeginOptions, signal: AbortSignal): Promise<void>;
  write(chunk: Buffer): Promise<void>;
  end(): Promise<void>;
  commit(signal: AbortSignal): Promise<DeliveryOutcome>;
  abort(): Promise<void>;
}

/** RFC 5321 6.3. */
const maxReceivedFields = 100;

/** Deliveries of one message that fsync and rename at the same time. */
const maxConcurrentCommits = 16;

/** Collected before recipients' files are written, so that a small message is one write. */
const maxCoalescedBytes = 64 * 1024;

export type BodyVerdict =
  | { readonly kind: 'complete' }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'loop' }
  | { readonly kind: 'bare-newline' };

export interface Delivered {
  readonly recipient: Recipient;
  readonly isRemote: boolean;
  readonly outcome: DeliveryOutcome;
}

/** Sender and recipients so far. */
export interface Envelope {
  readonly sender: MailPath;
  readonly expectedBytes: number | undefined;
  /** SMTP: each has its file open already, so that a mailbox that cannot take the message is refused at RCPT TO. */
  readonly recipients: Delivery[];
}

/** Streams a message body into all recipients' mailboxes. */
export class MessageIntake {
  readonly headers = new HeaderFacts();
  readonly #deliveries: readonly Delivery[];
  readonly #maxBytes: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #received = 0;
  #isTooLarge = false;

  constructor(deliveries: readonly Delivery[], maxBytes: number) {
    this.#deliveries = deliveries;
    this.#maxBytes = maxBytes;
  }

  /** Octets of the message so far, without the fields added by us. */
  get receivedBytes(): number {
    return this.#received;
  }

  /** Opens the mailboxes and writes each recipient's added fields. */
  async begin(opener: UserOpener, options: BeginOptions, prefix: (recipient: Recipient) => string, signal: AbortSignal): Promise<void> {
    await this.#each(async (delivery) => {
      await delivery.begin(opener, options, signal);
      await delivery.write(Buffer.from(prefix(delivery.recipient)));
    });
  }

  async write(chunk: Buffer): Promise<void> {
    this.#received += chunk.length;
    if (this.#received > this.#maxBytes) this.#isTooLarge = true;
    if (this.#isTooLarge) return;
    this.headers.push(chunk);
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes >= maxCoalescedBytes) await this.#flush();
  }

  /** The message is complete; says why it cannot be taken, if so. */
  async finish(hasBareNewline: boolean): Promise<BodyVerdict> {
    if (this.#isTooLarge) return { kind: 'too-large' };
    if (hasBareNewline) return { kind: 'bare-newline' };
    if (this.headers.receivedCount() > maxReceivedFields) return { kind: 'loop' };
    await this.#flush();
    await this.#each((delivery) => delivery.end());
    return { kind: 'complete' };
  }

  /** LMTP: each recipient for itself. */
  async commitEach(signal: AbortSignal): Promise<readonly Delivered[]> {
    return this.#each(async (delivery) => ({
      recipient: delivery.recipient,
      isRemote: delivery.isRemote,
      outcome: await delivery.commit(signal),
    }));
  }

  /**
   * SMTP has one reply for all: when one mailbox already failed, nobody gets the message and the sender tries again later. A failure between the
   * commits of two mailboxes is answered with a temporary error too: one of them may then get the message twice, none loses it.
   */
  async commitAll(signal: AbortSignal): Promise<readonly Delivered[]> {
    const failed = this.#deliveries.some((delivery) => delivery.failure !== undefined);
    if (!failed) return this.commitEach(signal);
    const outcomes = this.#deliveries.flatMap((delivery): Delivered[] =>
      delivery.failure === undefined
        ? []
        : [{ recipient: delivery.recipient, isRemote: delivery.isRemote, outcome: { kind: 'failed', error: delivery.failure } }],
    );
    await this.abort();
    return outcomes;
  }

  async abort(): Promise<void> {
    this.#pending = [];
    await Promise.all(this.#deliveries.map((delivery) => delivery.abort()));
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const chunk = this.#pending.length === 1 && this.#pending[0] !== undefined ? this.#pending[0] : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    await Promise.all(this.#deliveries.map((delivery) => delivery.write(chunk)));
  }

  async #each<Result>(step: (delivery: Delivery) => Promise<Result>): Promise<readonly Result[]> {
    const results: Result[] = [];
    for (let from = 0; from < this.#deliveries.length; from += maxConcurrentCommits) {
      results.push(...(await Promise.all(this.#deliveries.slice(from, from + maxConcurrentCommits).map(step))));
    }
    return results;
  }
}
