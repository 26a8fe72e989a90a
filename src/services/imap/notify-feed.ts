// What NOTIFY sends on its own account (RFC 5465): changes of other mailboxes as STATUS, LIST and METADATA, of the selected one at once.
//
// It works only while no command does: the command loop pauses it before each command and resumes it behind the reply. Contents are watched by the
// mailboxes, names, subscriptions and metadata by the account; both say when to look.
import { encodeString } from '#protocol/imap/encoder.js';
import { allRights } from '#storage/acl.js';
import { StorageError } from '#storage/errors.js';
import type { MailboxStatus } from '#storage/types.js';
import type { MailboxListEntry } from '#storage/user.js';
import { MetadataWatch } from './metadata-watch.js';
import type { NotifyInterest } from './notify-interest.js';
import { compareNames, type KnownName, type NameChange, namedAttributes, type Rename } from './notify-names.js';
import { myRights } from './rights.js';
import type { Session } from './session.js';
import { writeUpdates } from './update-writer.js';
import { VisibleEntries } from './visible-entries.js';

/** Mailboxes of one session whose contents are watched. */
export const maxNotifyMailboxes = 1000;
/** Names that are compared. */
const maxNames = 10_000;
const retryMs = 200;
/** Looks after the last event. */
const maxRetries = 5;

interface Known extends KnownName {
  status: MailboxStatus | undefined;
  readonly stopWatching: (() => void) | undefined;
  /** RFC 5465 5.9: without the right to read only its name is told. */
  readonly canRead: boolean;
  /** It could not be opened: it may be in the middle of being made. */
  readonly isUnfinished: boolean;
}

/** There is more to watch than a session may have. */
class NotifyOverflowError extends Error {
  override readonly name = 'NotifyOverflowError';
}

export class NotifyFeed {
  readonly #session: Session;
  readonly #interest: NotifyInterest;
  readonly #abort = new AbortController();
  readonly #metadata: MetadataWatch | undefined;
  #known = new Map<string, Known>();
  readonly #due = new Set<string>();
  /** Names that this client changes itself: it is not told (RFC 5465 5). */
  readonly #own = new Set<string>();
  readonly #renames: Rename[] = [];
  #retry: NodeJS.Timeout | undefined;
  #retries = 0;
  #isListDue = false;
  #isPaused = true;
  #isClosed = false;
  #running: Promise<void> | undefined;
  #stopList: (() => void) | undefined;
  #selected: { readonly view: unknown; readonly stop: () => void } | undefined;
  #isSelectedDue = false;

  constructor(session: Session, interest: NotifyInterest) {
    this.#session = session;
    this.#interest = interest;
    if (!session.settings.imap_metadata || !(interest.wantsMailboxMetadata || interest.wantsServerMetadata)) return;
    this.#metadata = new MetadataWatch(session, {
      server: interest.wantsServerMetadata,
      mailbox: (entry) => interest.eventsOf(entry).has('MailboxMetadataChange'),
    });
  }

  /**
   * Learns what is there now, and writes STATUS of it where asked.
   * @returns false when there is too much to watch: nothing is then
   */
  async start(withStatus: boolean): Promise<boolean> {
    if (!this.#interest.hasOthers) return true;
    const { signal } = this.#abort;
    // Watched first: what changes meanwhile is looked for once more.
    this.#stopList = await this.#session.user.watchList(() => {
      this.#isListDue = true;
      this.#retries = 0;
      this.#poke();
    });
    try {
      this.#known = await this.#lookAtAll();
    } catch (error) {
      if (!(error instanceof NotifyOverflowError)) throw error;
      await this.close();
      return false;
    }
    await this.#metadata?.start(signal);
    for (const known of this.#known.values()) {
      if (withStatus && known.status !== undefined && !this.#isSelected(known.entry.name))
        this.#writeStatus(known, undefined, known.status);
      if (this.#session.output.isFull) await this.#session.output.drain();
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
    this.#stopList?.();
    clearTimeout(this.#retry);
    this.#selected?.stop();
    this.#selected = undefined;
    for (const { stopWatching } of this.#known.values()) stopWatching?.();
    this.#known.clear();
    await this.#running;
  }

  expectNames(names: readonly string[]): void {
    for (const name of names) this.#own.add(name);
    this.#isListDue = true;
  }

  async expectMetadata(mailbox: string | undefined, signal: AbortSignal): Promise<void> {
    await this.#metadata?.learn(mailbox, signal);
  }

  #isSelected(name: string): boolean {
    return this.#session.selectedView?.mailbox.name === name;
  }

  #followSelected(): void {
    const view = this.#session.selectedView;
    if (this.#selected?.view === view) return;
    this.#selected?.stop();
    this.#selected = undefined;
    if (view === undefined || this.#interest.selectedEvents.size === 0) return;
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
        if (!(await this.#compareList())) break;
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
    try {
      await writeUpdates(this.#session, { allowExpunge: !this.#interest.isSelectedDelayed }, this.#abort.signal);
    } catch (error) {
      // A mailbox that is gone ends the session with the next command.
      if (!(error instanceof StorageError && error.code === 'not-found')) throw error;
    }
  }

  /** Everything that is listed or subscribed; what was watched goes on being watched. @throws NotifyOverflowError */
  async #lookAtAll(): Promise<Map<string, Known>> {
    const { user } = this.#session;
    const { signal } = this.#abort;
    const listed = new Map<string, MailboxListEntry>();
    for (const entry of await user.list(['*'], { subscribedOnly: false }, signal)) listed.set(entry.name, entry);
    // What exists is in the first list: the second one may be of another moment.
    for (const entry of await user.list(['*'], { subscribedOnly: true }, signal)) {
      if (!entry.exists && !listed.has(entry.name)) listed.set(entry.name, entry);
    }
    const visible = VisibleEntries.ofAll(this.#session, [...listed.values()], signal);
    const found = new Map<string, Known>();
    let watched = 0;
    for (const [name, all] of listed) {
      if (found.size >= maxNames) throw new NotifyOverflowError('too many names');
      const events = this.#interest.eventsOf(all);
      if (watchesContents(events) && all.exists && all.isSelectable) watched += 1;
      if (watched > maxNotifyMailboxes) throw new NotifyOverflowError('too many mailboxes');
      const before = this.#known.get(name);
      // RFC 5465 3.1, 5.4: what may not be seen is not there.
      const seen = events.size === 0 || !all.exists ? { entry: all, rights: allRights } : await visible.look(all, false);
      if (seen === undefined) continue;
      const { entry, rights } = seen;
      const canRead = rights.includes('r');
      if (canRead !== (before?.canRead ?? true))
        this.#writeList(entry, canRead ? namedAttributes({ entry, isGone: false, oldName: undefined }) : ['\\NoAccess'], undefined);
      const isSame =
        before !== undefined &&
        !before.isUnfinished &&
        before.canRead === canRead &&
        before.entry.exists === entry.exists &&
        watchesContents(before.events) === watchesContents(events);
      const known = isSame ? { ...before, entry, events } : await this.#learn(entry, events, canRead);
      // What is being made is told when it is there.
      if (known.isUnfinished && before === undefined && this.#retries < maxRetries) continue;
      found.set(name, known);
    }
    return found;
  }

  /** All where lists do not hold, and of names that have none. */
  async #rightsOn(name: string): Promise<string> {
    try {
      return await myRights(this.#session, name, this.#abort.signal);
    } catch (error) {
      // It only holds other mailboxes, or has just gone, which the next look will show.
      if (error instanceof StorageError) return allRights;
      throw error;
    }
  }

  async #learn(entry: MailboxListEntry, events: Known['events'], canRead: boolean): Promise<Known> {
    const nothing: Known = { entry, events, canRead, guid: undefined, status: undefined, stopWatching: undefined, isUnfinished: false };
    if (!entry.exists || !entry.isSelectable || events.size === 0 || !canRead) return nothing;
    const { signal } = this.#abort;
    try {
      const mailbox = await this.#session.user.openMailbox(entry.name, signal);
      const { guid } = mailbox;
      if (!watchesContents(events)) return { ...nothing, guid };
      const stopWatching = mailbox.watch(() => {
        this.#due.add(entry.name);
        this.#poke();
      });
      return { ...nothing, guid, status: await mailbox.status({ size: false }, signal), stopWatching };
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#session.log.debug('imap.notify', `Mailbox ${entry.name} cannot be watched: ${error.message}`, { error });
      this.#lookAgainSoon();
      return { ...nothing, isUnfinished: true };
    }
  }

  /** Others make mailboxes in several steps, of which only the first shows in the list. */
  #lookAgainSoon(): void {
    if (this.#retry !== undefined || this.#retries >= maxRetries) return;
    this.#retries += 1;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#isListDue = true;
      this.#poke();
    }, retryMs);
    this.#retry.unref();
  }

  async #updateStatus(name: string): Promise<void> {
    const known = this.#known.get(name);
    if (known?.status === undefined) return;
    try {
      if (!(await this.#rightsOn(name)).includes('r')) {
        this.#isListDue = true;
        return;
      }
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

  /** Without `before` what NOTIFY SET STATUS asks for (RFC 5465 3.1); else what changed of the kinds asked for (RFC 5465 5.1 to 5.3). */
  #writeStatus({ entry, events }: Known, before: MailboxStatus | undefined, now: MailboxStatus): void {
    const usesModSeqs = this.#session.has('CONDSTORE');
    const isOther = before?.uidValidity !== now.uidValidity;
    const hasMessages = isOther || before.messages !== now.messages || before.uidNext !== now.uidNext;
    const hasUnseen = isOther || before.unseen !== now.unseen;
    const hasFlags = events.has('FlagChange') && (hasUnseen || (usesModSeqs && before?.highestModSeq !== now.highestModSeq));
    if (!hasMessages && !hasFlags) return;
    const items = [
      ...(hasMessages ? [`MESSAGES ${now.messages}`, `UIDNEXT ${now.uidNext}`] : []),
      ...(isOther || (hasFlags && usesModSeqs) ? [`UIDVALIDITY ${now.uidValidity}`] : []),
      ...(hasUnseen ? [`UNSEEN ${now.unseen}`] : []),
      ...(usesModSeqs || (isOther && events.has('FlagChange')) ? [`HIGHESTMODSEQ ${now.highestModSeq}`] : []),
    ];
    this.#session.text(`* STATUS ${this.#session.mailboxName(entry.name)} (${items.join(' ')})\r\n`);
  }

  /** @returns false when NOTIFY ended because there is too much to watch by now (RFC 5465 5.8) */
  async #compareList(): Promise<boolean> {
    const own = new Set(this.#own);
    this.#own.clear();
    const before = this.#known;
    try {
      this.#known = await this.#lookAtAll();
    } catch (error) {
      if (!(error instanceof NotifyOverflowError)) throw error;
      this.#session.text('* OK [NOTIFICATIONOVERFLOW] Too many mailboxes to watch.\r\n');
      this.#session.endNotify();
      return false;
    }
    for (const [name, { stopWatching }] of before) if (this.#known.get(name)?.stopWatching !== stopWatching) stopWatching?.();
    for (const change of compareNames(before, this.#known, this.#renames)) {
      if (!own.has(change.entry.name)) this.#writeList(change.entry, namedAttributes(change), change.oldName);
    }
    for (const line of (await this.#metadata?.changes(this.#abort.signal)) ?? []) this.#session.text(line);
    return true;
  }

  #writeList({ name, separator }: NameChange['entry'], attributes: readonly string[], oldName: string | undefined): void {
    const extra = oldName === undefined ? '' : ` ("OLDNAME" (${this.#session.mailboxName(oldName)}))`;
    this.#session.text(`* LIST (${attributes.join(' ')}) ${encodeString(separator)} ${this.#session.mailboxName(name)}${extra}\r\n`);
  }
}

function watchesContents(events: Known['events']): boolean {
  return events.has('MessageNew');
}
