// The storage contract in memory: for tests, demos, and as the plain statement of what the contract means.
import { StorageError } from '../errors.js';
import type { AppendTransaction, Mailbox, MailboxView, ReplacedMessage, SuspendedView } from '../mailbox.js';
import { flagBit, type MailboxStatus, type ModSeq } from '../types.js';
import { MemoryAppend } from './append.js';
import { MemoryStore } from './store.js';
import { MemoryView } from './view.js';

export class MemoryMailbox extends MemoryStore implements Mailbox {
  async openView(options: { readonly readOnly: boolean }, signal: AbortSignal): Promise<MailboxView> {
    this.check(signal);
    return new MemoryView(this, options.readOnly || this.isReadOnly);
  }

  readonly watchedFolders: readonly string[] = [];

  async resumeView(_suspended: SuspendedView, _signal: AbortSignal): Promise<MailboxView> {
    throw new StorageError('cannot', 'views of a mailbox in memory cannot be suspended');
  }

  async status(options: { readonly size: boolean }, signal: AbortSignal): Promise<MailboxStatus> {
    this.check(signal);
    let unseen = 0;
    let deleted = 0;
    let size = 0;
    for (const message of this.messages) {
      if ((message.flags & flagBit.seen) === 0) unseen += 1;
      if ((message.flags & flagBit.deleted) !== 0) deleted += 1;
      size += message.content.length;
    }
    return {
      messages: this.messages.length,
      recent: this.unclaimedRecent.size,
      unseen,
      deleted,
      uidNext: this.uidNext,
      uidValidity: this.uidValidity,
      highestModSeq: this.highestModSeq,
      size: options.size ? size : undefined,
      guid: this.guid,
    };
  }

  beginAppend(kind: 'append' | 'deliver', replaced?: ReplacedMessage): AppendTransaction {
    const from = replaced?.mailbox;
    const freed = from instanceof MemoryStore ? { quota: from.quota, bytes: replaced?.octets ?? 0, messages: 1 } : undefined;
    return new MemoryAppend(this, kind, freed);
  }

  async raiseModSeq(signal: AbortSignal): Promise<void> {
    this.check(signal);
    this.advanceModSeq();
  }

  watch(onChange: () => void): () => void {
    return this.notifier.watch(onChange);
  }

  hasNewsSince(modSeq: ModSeq): boolean {
    return this.highestModSeq > modSeq;
  }
}
