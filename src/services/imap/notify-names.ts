// The LIST responses of NOTIFY (RFC 5465 5.4, 5.5): what came, went, was renamed or subscribed between two looks at the mailbox list.
import type { NotifyEvent } from '#protocol/imap/commands/notify.js';
import type { MailboxListEntry } from '#storage/user.js';

/** What was known of a mailbox at the last look. */
export interface KnownName {
  readonly entry: MailboxListEntry;
  readonly events: ReadonlySet<NotifyEvent>;
  /** Undefined for what cannot be opened. */
  readonly guid: string | undefined;
}

export interface NameChange {
  readonly entry: MailboxListEntry;
  /** It is not there any more. */
  readonly isGone: boolean;
  readonly oldName: string | undefined;
}

export type Rename = readonly [from: string, to: string];

/** A layout moves the children one by one, so that they may be seen at a later look than their parent. */
const maxRememberedRenames = 20;

/**
 * @param renames of the last looks; those of this one are added
 * @returns changes that the events ask for, in the order of the list, those that are gone last
 */
export function compareNames(
  before: ReadonlyMap<string, KnownName>,
  after: ReadonlyMap<string, KnownName>,
  renames: Rename[],
): NameChange[] {
  const isThere = (known: KnownName | undefined): boolean => known?.entry.exists ?? false;
  const gone = new Map([...before].filter(([name, known]) => isThere(known) && !isThere(after.get(name))));
  const changes: NameChange[] = [];
  for (const [name, known] of after) {
    const { entry, events } = known;
    const old = before.get(name);
    if (isThere(known) && !isThere(old)) {
      const from = [...gone.values()].find(({ guid }) => guid !== undefined && guid === known.guid);
      if (from !== undefined) gone.delete(from.entry.name);
      // RFC 5465 5.4: children move along with their parent, without events of their own.
      const isChild = from !== undefined && renames.some((rename) => isBelow(from.entry, entry, rename));
      if (from !== undefined) renames.push([from.entry.name, name]);
      const isToldAsName = events.has('MailboxName') && !isChild;
      const isToldAsSubscribed = events.has('SubscriptionChange') && entry.isSubscribed;
      if (isToldAsName) changes.push({ entry, isGone: false, oldName: from?.entry.name });
      else if (isToldAsSubscribed) changes.push({ entry, isGone: false, oldName: undefined });
    } else if (old !== undefined && old.entry.isSubscribed !== entry.isSubscribed) {
      if (events.has('SubscriptionChange') || old.events.has('SubscriptionChange'))
        changes.push({ entry, isGone: false, oldName: undefined });
    } else if (old !== undefined && old.entry.hasChildren !== entry.hasChildren && events.has('MailboxName')) {
      // RFC 5465 5.4: the parent of what came or went is affected, too.
      changes.push({ entry, isGone: false, oldName: undefined });
    }
  }
  renames.splice(0, Math.max(renames.length - maxRememberedRenames, 0));
  for (const { entry, events } of gone.values()) {
    const isChild = renames.some(([from]) => entry.name.startsWith(from + entry.separator));
    if (!events.has('MailboxName') || isChild) continue;
    // What was below it may still be there.
    const left = after.get(entry.name)?.entry ?? { ...entry, hasChildren: false };
    changes.push({ entry: left, isGone: true, oldName: undefined });
  }
  for (const [name, { entry, events }] of before) {
    // Known from its subscription alone.
    const isForgotten = !after.has(name) && !entry.exists && entry.isSubscribed;
    if (isForgotten && events.has('SubscriptionChange'))
      changes.push({ entry: { ...entry, isSubscribed: false, hasChildren: false }, isGone: true, oldName: undefined });
  }
  return changes;
}

function isBelow(from: MailboxListEntry, to: MailboxListEntry, [oldParent, newParent]: Rename): boolean {
  const rest = from.name.slice(oldParent.length);
  return from.name.startsWith(oldParent + from.separator) && to.name === newParent + rest;
}

/** Attributes as LIST has them, with \\Subscribed where it is (RFC 5465 5.5: all of them are right). */
export function namedAttributes({ entry, isGone }: NameChange): string[] {
  return [
    ...(isGone || !entry.exists ? ['\\NonExistent'] : entry.isSelectable ? [] : ['\\Noselect']),
    ...(entry.isSubscribed ? ['\\Subscribed'] : []),
    ...(entry.hasChildren ? ['\\HasChildren'] : isGone ? [] : ['\\HasNoChildren']),
    ...(isGone ? [] : entry.specialUse),
  ];
}
