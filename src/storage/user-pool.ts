// Accounts that several sessions of one process use at the same time: a user's sessions come to one process, and an open account is the larger part
// of what an idle session holds.
import { CellMap } from '#util/cell-map.js';
import type { UserdbUser, UserOpener } from './open-user.js';
import type { MailUser } from './user.js';

/** One session's share of an account; the account is closed with the last one. */
export interface UserLease extends AsyncDisposable {
  readonly user: MailUser;
}

interface Entry {
  readonly opening: Promise<MailUser>;
  leases: number;
}

export class UserPool {
  readonly #opener: UserOpener;
  readonly #service: string;
  readonly #entries = new CellMap<string, Entry>();

  /** @param service as in `openUser` */
  constructor(opener: UserOpener, service: string) {
    this.#opener = opener;
    this.#service = service;
  }

  /** Users with other fields (another home, another quota) are others. @throws StorageError as `openUser` */
  async lease(fields: UserdbUser, signal: AbortSignal): Promise<UserLease> {
    const key = JSON.stringify([fields.user, fields.fields]);
    for (;;) {
      const known = this.#entries.get(key);
      const entry = known ?? { opening: this.#opener.openUser(fields, this.#service, signal), leases: 0 };
      this.#entries.set(key, entry);
      entry.leases += 1;
      try {
        return new Lease(await entry.opening, () => this.#giveBack(key, entry));
      } catch (error) {
        if (this.#entries.get(key) === entry) this.#entries.take(key);
        // Whoever came first may have given up for reasons of its own.
        if (known === undefined || signal.aborted) throw error;
      }
    }
  }

  async #giveBack(key: string, entry: Entry): Promise<void> {
    entry.leases -= 1;
    if (entry.leases > 0) return;
    if (this.#entries.get(key) === entry) this.#entries.take(key);
    const user = await entry.opening;
    await user[Symbol.asyncDispose]();
  }
}

class Lease implements UserLease {
  readonly user: MailUser;
  #giveBack: (() => Promise<void>) | undefined;

  constructor(user: MailUser, giveBack: () => Promise<void>) {
    this.user = user;
    this.#giveBack = giveBack;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    await giveBack?.();
  }
}
