import { type QuotaGuard, unlimitedQuota } from '../driver.js';
import type { QuotaRoot } from '../user.js';

/** Quota of one account, as its mailboxes and QUOTA commands need it. */
export interface AccountQuota {
  /** The same object for mailboxes under the same rules. @param name visible name */
  guardFor(mailboxName: string): QuotaGuard;
  rootsOf(mailboxName: string, signal: AbortSignal): Promise<readonly QuotaRoot[]>;
  /** Waits for warnings and files still being written. */
  close(): Promise<void>;
}

export const noAccountQuota: AccountQuota = {
  guardFor: () => unlimitedQuota,
  rootsOf: async () => [],
  close: async () => undefined,
};
