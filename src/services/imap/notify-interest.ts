// Which events of which mailboxes a NOTIFY SET is about (RFC 5465 6).
import type { NotifyEvent, NotifyGroup } from '#protocol/imap/commands/notify.js';
import type { MailboxListEntry, MailUser } from '#storage/user.js';
import { matchesFilter } from './filtered-mailboxes.js';

const noEvents: ReadonlySet<NotifyEvent> = new Set();

export class NotifyInterest {
  readonly #user: MailUser;
  readonly #groups: readonly NotifyGroup[];
  readonly #selected: NotifyGroup | undefined;

  constructor(user: MailUser, groups: readonly NotifyGroup[]) {
    this.#user = user;
    this.#groups = groups.filter(({ filter }) => filter.kind !== 'selected' && filter.kind !== 'selected-delayed');
    this.#selected = groups.find((group) => !this.#groups.includes(group));
  }

  /** Of the selected mailbox, whichever that is; none where the client did not name it (RFC 5465 3.1). */
  get selectedEvents(): ReadonlySet<NotifyEvent> {
    return this.#selected?.events ?? noEvents;
  }

  /** Expunges of the selected mailbox wait for a command that may report them. */
  get isSelectedDelayed(): boolean {
    return this.#selected?.filter.kind === 'selected-delayed';
  }

  get selectedItems(): NotifyGroup['items'] {
    return this.#selected?.items;
  }

  /** True when it is about more than the selected mailbox. */
  get hasOthers(): boolean {
    return this.#groups.some(({ events }) => events.size > 0);
  }

  get wantsServerMetadata(): boolean {
    return this.#groups.some(({ events }) => events.has('ServerMetadataChange'));
  }

  get wantsMailboxMetadata(): boolean {
    return this.#groups.some(({ events }) => events.has('MailboxMetadataChange'));
  }

  /** All groups that cover a mailbox together (RFC 5465 6). */
  eventsOf(entry: MailboxListEntry): ReadonlySet<NotifyEvent> {
    const groups = this.#groups.filter(({ filter }) => matchesFilter(this.#user, filter, entry));
    const [only] = groups;
    if (only === undefined) return noEvents;
    return groups.length === 1 ? only.events : new Set(groups.flatMap(({ events }) => [...events]));
  }
}
