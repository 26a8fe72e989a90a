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
  /** Never rejects. */
  begin(opener: UserOpener, options: BeginOptions, signal: AbortSignal): Promise<void>;
  /** Once it has begun. Never rejects. @returns undefined when more may be written at once */
  write(chunk: Buffer): Promise<void> | undefined;
  end(): Promise<void>;
  /** Ends it in every case. */
  commit(signal: AbortSignal): Promise<DeliveryOutcome>;
  /** Also while it begins. */
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
  #begun: Promise<unknown> | undefined;
  #isSettled = false;

  constructor(deliveries: readonly Delivery[], maxBytes: number) {
    this.#deliveries = deliveries;
    this.#maxBytes = maxBytes;
  }

  /** Octets of the message so far, without the fields added by us. */
  get receivedBytes(): number {
    return this.#received;
  }

  /** All deliveries have ended: nothing is left to be aborted. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /**
   * Opens the mailboxes and writes each recipient's added fields. Nobody has to wait for it: what is written does.
   */
  begin(opener: UserOpener, options: BeginOptions, prefix: (recipient: Recipient) => string, signal: AbortSignal): void {
    const begin = async (delivery: Delivery): Promise<void> => {
      const fields = Buffer.from(prefix(delivery.recipient));
      await delivery.begin(opener, options, signal);
      const written = delivery.write(fields);
      if (written !== undefined) await written;
    };
    this.#begun = this.#each(begin);
  }

  /** Octets beyond the limit are thrown away. @returns undefined when more may be written at once */
  write(chunk: Buffer): Promise<void> | undefined {
    this.#received += chunk.length;
    if (this.#received > this.#maxBytes) this.#isTooLarge = true;
    if (this.#isTooLarge) return undefined;
    this.headers.push(chunk);
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    return this.#pendingBytes >= maxCoalescedBytes ? this.#flush() : undefined;
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
    const outcomes = await this.#each(async (delivery) => ({
      recipient: delivery.recipient,
      isRemote: delivery.isRemote,
      outcome: await delivery.commit(signal),
    }));
    this.#isSettled = true;
    return outcomes;
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
    this.#pendingBytes = 0;
    await this.#begun;
    await Promise.all(this.#deliveries.map((delivery) => delivery.abort()));
    this.#isSettled = true;
  }

  async #flush(): Promise<void> {
    await this.#begun;
    if (this.#pendingBytes === 0) return;
    const chunk = this.#pending.length === 1 && this.#pending[0] !== undefined ? this.#pending[0] : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    const written: Promise<void>[] = [];
    for (const delivery of this.#deliveries) {
      const writing = delivery.write(chunk);
      if (writing !== undefined) written.push(writing);
    }
    if (written.length > 0) await Promise.all(written);
  }

  async #each<Result>(step: (delivery: Delivery) => Promise<Result>): Promise<readonly Result[]> {
    const [only] = this.#deliveries;
    if (this.#deliveries.length === 1 && only !== undefined) return [await step(only)];
    const results: Result[] = [];
    for (let from = 0; from < this.#deliveries.length; from += maxConcurrentCommits) {
      results.push(...(await Promise.all(this.#deliveries.slice(from, from + maxConcurrentCommits).map(step))));
    }
    return results;
  }
}
