// Changes anywhere in an account, for NOTIFY: mailboxes that come and go, and what happens in each of them.
import type { Logger } from '#log/logger.js';
import type { AccountNamespace } from './account-namespace.js';
import { visibleName } from './list/visible-list.js';
import type { MailUser } from './user.js';

/** Mailboxes whose contents are watched; those beyond it only when a session has them open. */
const maxWatchedMailboxes = 1000;

type WatchedUser = Pick<MailUser, 'list' | 'openMailbox'>;

/** Nothing is opened before the first watcher comes, and all is given up when the last one has gone. */
export class AccountWatch {
  readonly #user: WatchedUser;
  readonly #namespaces: readonly AccountNamespace[];
  readonly #log: Logger;
  readonly #watchers = new Set<(name: string) => void>();
  readonly #stops = new Map<string, () => void>();
  #stopTrees: (() => void)[] = [];
  #ended: AbortController | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(user: WatchedUser, namespaces: readonly AccountNamespace[], log: Logger) {
    this.#user = user;
    this.#namespaces = namespaces;
    this.#log = log;
  }

  add(onChange: (mailboxName: string) => void): () => void {
    const watcher = (name: string): void => onChange(name);
    this.#watchers.add(watcher);
    if (this.#watchers.size === 1) this.#start();
    return () => {
      if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#stop();
    };
  }

  async close(): Promise<void> {
    this.#watchers.clear();
    this.#stop();
    await this.#work;
  }

  #start(): void {
    const ended = new AbortController();
    this.#ended = ended;
    this.#stopTrees = this.#namespaces.map(({ tree, namespace }) =>
      tree.watch((levels) => {
        this.#tell(visibleName(namespace, levels));
        this.#refresh(ended.signal);
      }),
    );
    this.#refresh(ended.signal);
  }

  #stop(): void {
    if (this.#ended === undefined) return;
    this.#ended.abort();
    this.#ended = undefined;
    for (const stop of [...this.#stopTrees, ...this.#stops.values()]) stop();
    this.#stopTrees = [];
    this.#stops.clear();
  }

  #tell(name: string): void {
    for (const watcher of [...this.#watchers]) watcher(name);
  }

  /** Watches what is there now, one mailbox after the other, so that a large account does not open all its files at once. */
  #refresh(signal: AbortSignal): void {
    this.#work = this.#work
      .then(async () => {
        if (signal.aborted) return;
        const present = new Set<string>();
        for (const entry of await this.#user.list(['*'], { subscribedOnly: false }, signal)) {
          if (!entry.isSelectable || present.size >= maxWatchedMailboxes) continue;
          present.add(entry.name);
          if (!this.#stops.has(entry.name)) await this.#watchMailbox(entry.name, signal);
        }
        for (const [name, stop] of this.#stops) {
          if (present.has(name)) continue;
          stop();
          this.#stops.delete(name);
        }
      })
      .catch((error: unknown) => {
        if (!signal.aborted) this.#log.warning('storage.watch-failed', 'Cannot watch the mailboxes of the account', { error });
      });
  }

  async #watchMailbox(name: string, signal: AbortSignal): Promise<void> {
    try {
      const mailbox = await this.#user.openMailbox(name, signal);
      signal.throwIfAborted();
      this.#stops.set(
        name,
        mailbox.watch(() => this.#tell(name)),
      );
    } catch (error) {
      if (!signal.aborted) this.#log.debug('storage.watch-failed', `Cannot watch mailbox ${name}`, { error });
    }
  }
}
