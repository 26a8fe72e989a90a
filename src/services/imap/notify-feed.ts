// What NOTIFY sends on its own account (RFC 5465): changes of other mailboxes as STATUS and LIST, of the selected one at once.
//
// It works only while no command does: the command loop pauses it before each command and resumes it behind the reply. Contents are watched by
// the storage; names and subscriptions, which other processes change too, are compared at an interval.
import type { NotifyEvent, NotifyGroup } from '#protocol/imap/commands/notify.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { StorageError } from '#storage/errors.js';
import type { MailboxStatus } from '#storage/types.js';
import type { MailboxListEntry } from '#storage/user.js';
import { matchesFilter } from './filtered-mailboxes.js';
import type { Session } from './session.js';
import { writeUpdates } from './update-writer.js';

/** Mailboxes of one session whose contents are watched. */
export const maxNotifyMailboxes = 1000;
/** Names and subscriptions are compared this often. */
const pollMs = 1000;

interface Known {
  readonly entry: MailboxListEntry;
  readonly events: ReadonlySet<NotifyEvent>;
  guid: string | undefined;
  status: MailboxStatus | undefined;
  stopWatching: (() => void) | undefined;
}

const noEvents: ReadonlySet<NotifyEvent> = new Set();

export class NotifyFeed {
  readonly #session: Session;
  readonly #groups: readonly NotifyGroup[];
  readonly #abort = new AbortController();
  readonly #known = new Map<string, Known>();
  readonly #due = new Set<string>();
  #isListDue = false;
  #isPaused = true;
  #isClosed = false;
  #running: Promise<void> | undefined;
  #poll: NodeJS.Timeout | undefined;
  #selected: { readonly view: unknown; readonly stop: () => void } | undefined;
  #isSelectedDue = false;

  constructor(session: Session, groups: readonly NotifyGroup[]) {
    this.#session = session;
    this.#groups = groups;
  }

  get #selectedGroup(): NotifyGroup | undefined {
    return this.#groups.find(({ filter }) => filter.kind === 'selected' || filter.kind === 'selected-delayed');
  }

  /**
   * Learns what is there now, and writes STATUS of it where asked.
   * @returns false when there is too much to watch: nothing is then
   */
  async start(withStatus: boolean): Promise<boolean> {
    const entries = await this.#session.user.list(['*'], { subscribedOnly: false }, this.#abort.signal);
    let watched = 0;
    for (const entry of entries) {
      const events = this.#eventsOf(entry);
      if (watchesContents(events) && entry.isSelectable) watched += 1;
      if (watched > maxNotifyMailboxes) {
        await this.close();
        return false;
      }
      await this.#learn(entry, events);
      const known = this.#known.get(entry.name);
      if (withStatus && known?.status !== undefined && !this.#isSelected(entry.name)) this.#writeStatus(known, undefined, known.status);
      if (this.#session.output.isFull) await this.#session.output.drain();
    }
    if (this.#groups.some(({ events }) => events.has('MailboxName') || events.has('SubscriptionChange'))) {
      this.#poll = setInterval(() => {
        this.#isListDue = true;
        this.#poke();
      }, pollMs);
    }
    return true;
  }

  /** Resolves when nothing of it runs any more. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#running;
  }

  resume(): void {
    if (this.#isClosed) return;
    this.#isPaused = false;
    this.#followSelected();
    this.#poke();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#isPaused = true;
    this.#abort.abort();
    clearInterval(this.#poll);
    this.#selected?.stop();
    this.#selected = undefined;
    for (const { stopWatching } of this.#known.values()) stopWatching?.();
    this.#known.clear();
    await this.#running;
  }

  /** The first group that covers a mailbox decides (RFC 5465 6.1). */
  #eventsOf(entry: MailboxListEntry): ReadonlySet<NotifyEvent> {
    return this.#groups.find(({ filter }) => matchesFilter(this.#session.user, filter, entry))?.events ?? noEvents;
  }

  #isSelected(name: string): boolean {
    return this.#selectedGroup !== undefined && this.#session.selectedView?.mailbox.name === name;
  }

  #followSelected(): void {
    const view = this.#session.selectedView;
    if (this.#selected?.view === view) return;
    this.#selected?.stop();
    this.#selected = undefined;
    const group = this.#selectedGroup;
    if (view === undefined || group === undefined || group.events.size === 0) return;
    const stop = view.watch(() => {
      this.#isSelectedDue = true;
      this.#poke();
    });
    this.#selected = { view, stop };
  }

  #poke(): void {
    if (this.#isPaused || this.#running !== undefined) return;
    if (this.#due.size === 0 && !this.#isListDue && !this.#isSelectedDue) return;
    this.#running = this.#session.exclusive
      .run(() => this.#round())
      .catch((error: unknown) => {
        if (!this.#abort.signal.aborted && !this.#session.isGone)
          this.#session.log.error('imap.notify', `NOTIFY failed: ${error instanceof Error ? error.message : String(error)}`, { error });
      })
      .finally(() => {
        this.#running = undefined;
        this.#poke();
      });
  }

  async #round(): Promise<void> {
    const { output } = this.#session;
    while (!this.#isPaused && !this.#session.isGone) {
      if (this.#isSelectedDue) {
        this.#isSelectedDue = false;
        // IDLE sends the changes of the selected mailbox itself.
        if (!this.#session.isIdling) await this.#updateSelected();
      } else if (this.#isListDue) {
        this.#isListDue = false;
        await this.#compareList();
      } else {
        const [name] = this.#due;
        if (name === undefined) break;
        this.#due.delete(name);
        await this.#updateStatus(name);
      }
      await output.drain();
    }
    output.flush();
  }

  async #updateSelected(): Promise<void> {
    const allowExpunge = this.#selectedGroup?.filter.kind === 'selected';
    try {
      await writeUpdates(this.#session, { allowExpunge }, this.#abort.signal);
    } catch (error) {
      // A mailbox that is gone ends the session with the next command.
      if (!(error instanceof StorageError && error.code === 'not-found')) throw error;
    }
  }

  async #learn(entry: MailboxListEntry, events: ReadonlySet<NotifyEvent>): Promise<void> {
    const known: Known = { entry, events, guid: undefined, status: undefined, stopWatching: undefined };
    this.#known.set(entry.name, known);
    if (!entry.exists || !entry.isSelectable || events.size === 0) return;
    try {
      const mailbox = await this.#session.user.openMailbox(entry.name, this.#abort.signal);
      known.guid = mailbox.guid;
      if (!watchesContents(events)) return;
      known.stopWatching = mailbox.watch(() => {
        this.#due.add(entry.name);
        this.#poke();
      });
      known.status = await mailbox.status({ size: false }, this.#abort.signal);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#session.log.debug('imap.notify', `Mailbox ${entry.name} cannot be watched: ${error.message}`, { error });
    }
  }

  async #updateStatus(name: string): Promise<void> {
    const known = this.#known.get(name);
    if (known?.status === undefined) return;
    try {
      const mailbox = await this.#session.user.openMailbox(name, this.#abort.signal);
      const status = await mailbox.status({ size: false }, this.#abort.signal);
      const before = known.status;
      known.status = status;
      if (!this.#isSelected(name)) this.#writeStatus(known, before, status);
    } catch (error) {
      // Deleted: the list says so.
      if (!(error instanceof StorageError)) throw error;
    }
  }

  /** Without `before` everything; else what changed of the kinds asked for (RFC 5465 5.1 to 5.3). */
  #writeStatus({ entry, events }: Known, before: MailboxStatus | undefined, now: MailboxStatus): void {
    const hasMessages = events.has('MessageNew') && (before?.messages !== now.messages || before.uidNext !== now.uidNext);
    const hasFlags = events.has('MessageNew') && (before?.unseen !== now.unseen || before.highestModSeq !== now.highestModSeq);
    if (!hasMessages && !(hasFlags && (before === undefined || events.has('FlagChange')))) return;
    const items = [
      ...(hasMessages ? [`MESSAGES ${now.messages}`, `UIDNEXT ${now.uidNext}`] : []),
      ...(before === undefined ? [`UIDVALIDITY ${now.uidValidity}`] : []),
      ...(before?.unseen !== now.unseen || !hasMessages ? [`UNSEEN ${now.unseen}`] : []),
      ...(this.#session.has('CONDSTORE') ? [`HIGHESTMODSEQ ${now.highestModSeq}`] : []),
    ];
    this.#session.text(`* STATUS ${this.#session.mailboxName(entry.name)} (${items.join(' ')})\r\n`);
  }

  /** Mailboxes that came, went, were renamed, subscribed or not (RFC 5465 5.4, 5.5). */
  async #compareList(): Promise<void> {
    const { user } = this.#session;
    const listed = new Map<string, MailboxListEntry>();
    for (const subscribedOnly of [false, true]) {
      for (const entry of await user.list(['*'], { subscribedOnly }, this.#abort.signal)) listed.set(entry.name, entry);
    }
    const gone = new Map<string, Known>();
    for (const [name, known] of this.#known) {
      const entry = listed.get(name);
      if (entry?.exists === true || !known.entry.exists) continue;
      known.stopWatching?.();
      this.#known.delete(name);
      gone.set(name, known);
    }
    for (const entry of listed.values()) await this.#compareEntry(entry, gone);
    for (const { entry, events } of gone.values()) if (events.has('MailboxName')) this.#writeList(entry, ['\\NonExistent'], '');
  }

  async #compareEntry(entry: MailboxListEntry, gone: Map<string, Known>): Promise<void> {
    const before = this.#known.get(entry.name);
    const events = this.#eventsOf(entry);
    if (before === undefined || before.entry.exists !== entry.exists) {
      before?.stopWatching?.();
      if (this.#known.size <= maxNotifyMailboxes * 10) await this.#learn(entry, events);
      if (!entry.exists || !events.has('MailboxName')) return;
      const guid = this.#known.get(entry.name)?.guid;
      const old = [...gone.values()].find((known) => guid !== undefined && known.guid === guid);
      if (old !== undefined) gone.delete(old.entry.name);
      const oldName = old === undefined ? '' : ` ("OLDNAME" (${this.#session.mailboxName(old.entry.name)}))`;
      this.#writeList(entry, entry.isSelectable ? [] : ['\\Noselect'], oldName);
      return;
    }
    if (before.entry.isSubscribed === entry.isSubscribed) return;
    this.#known.set(entry.name, { ...before, entry });
    if (events.has('SubscriptionChange') || before.events.has('SubscriptionChange')) {
      const attributes = [...(entry.isSubscribed ? ['\\Subscribed'] : []), ...(entry.exists ? [] : ['\\NonExistent'])];
      this.#writeList(entry, attributes, '');
    }
  }

  #writeList({ name, separator }: MailboxListEntry, attributes: readonly string[], extra: string): void {
    this.#session.text(`* LIST (${attributes.join(' ')}) ${encodeString(separator)} ${this.#session.mailboxName(name)}${extra}\r\n`);
  }
}

function watchesContents(events: ReadonlySet<NotifyEvent>): boolean {
  return events.has('MessageNew');
}
