import type { MailboxView, SuspendedView } from '../mailbox.js';
import { MaildirMailboxBase } from './mailbox-base.js';
import { MaildirView } from './view.js';

/** The mailbox as callers get it; apart from its base so that views can name the base. */
export class MaildirMailbox extends MaildirMailboxBase {
  async openView(options: { readonly readOnly: boolean }, signal: AbortSignal): Promise<MailboxView> {
    signal.throwIfAborted();
    await this.fresh(signal);
    return MaildirView.open(this, options.readOnly || this.isReadOnly, signal);
  }

  async resumeView(suspended: SuspendedView, signal: AbortSignal): Promise<MailboxView> {
    signal.throwIfAborted();
    await this.fresh(signal);
    return MaildirView.resume(this, suspended, signal);
  }
}
