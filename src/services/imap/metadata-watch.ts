// Unsolicited METADATA responses (RFC 5464 4.4.2, RFC 5465 5.6, 5.7): which entries others have changed since the last look. Only digests of the
// values are kept.
import { createHash } from 'node:crypto';
import { encodeAstring } from '#protocol/imap/encoder.js';
import { StorageError } from '#storage/errors.js';
import type { MailboxListEntry } from '#storage/user.js';
import { mayAnnotate, readMetadata } from './metadata.js';
import { myRights } from './rights.js';
import type { Session } from './session.js';

/** Mailboxes whose entries are compared. */
const maxMailboxes = 1_000;

/** Digests by entry name. */
type Snapshot = ReadonlyMap<string, string>;

export interface MetadataInterest {
  readonly server: boolean;
  mailbox(entry: MailboxListEntry): boolean;
}

export class MetadataWatch {
  readonly #session: Session;
  readonly #interest: MetadataInterest;
  #known: ReadonlyMap<string, Snapshot> = new Map();

  constructor(session: Session, interest: MetadataInterest) {
    this.#session = session;
    this.#interest = interest;
  }

  /** Learns what is there, so that it is not told. */
  async start(signal: AbortSignal): Promise<void> {
    this.#known = await this.#read(signal);
  }

  /** What the client changes itself is not told it again (RFC 5464 4.3). */
  async learn(mailbox: string | undefined, signal: AbortSignal): Promise<void> {
    const name = mailbox ?? '';
    if (!this.#known.has(name)) return;
    const known = new Map(this.#known);
    known.set(name, await this.#snapshotOf(mailbox, signal));
    this.#known = known;
  }

  /** `* METADATA INBOX /private/comment` for each mailbox with changes. */
  async changes(signal: AbortSignal): Promise<string[]> {
    const before = this.#known;
    this.#known = await this.#read(signal);
    const lines: string[] = [];
    for (const [name, after] of this.#known) {
      const old = before.get(name);
      // A new mailbox is no change of its entries.
      if (old === undefined) continue;
      const names = [...after].filter(([entry, digest]) => old.get(entry) !== digest).map(([entry]) => entry);
      for (const entry of old.keys()) if (!after.has(entry)) names.push(entry);
      if (names.length === 0) continue;
      lines.push(
        `* METADATA ${name === '' ? '""' : this.#session.mailboxName(name)} ${names.map((entry) => encodeAstring(entry)).join(' ')}\r\n`,
      );
    }
    return lines;
  }

  async #read(signal: AbortSignal): Promise<Map<string, Snapshot>> {
    const found = new Map<string, Snapshot>();
    if (this.#interest.server) found.set('', await this.#snapshotOf(undefined, signal));
    for (const entry of await this.#session.user.list(['*'], { subscribedOnly: false }, signal)) {
      if (!entry.exists || !entry.isSelectable || !this.#interest.mailbox(entry) || found.size >= maxMailboxes) continue;
      try {
        if (mayAnnotate(await myRights(this.#session, entry.name, signal)))
          found.set(entry.name, await this.#snapshotOf(entry.name, signal));
      } catch (error) {
        // It is gone, or cannot be opened: its entries are nobody's then.
        if (!(error instanceof StorageError)) throw error;
      }
    }
    return found;
  }

  async #snapshotOf(mailbox: string | undefined, signal: AbortSignal): Promise<Snapshot> {
    const values = await readMetadata(this.#session, mailbox, signal);
    return new Map([...values].map(([entry, value]) => [entry, createHash('sha256').update(value).digest('base64')]));
  }
}
