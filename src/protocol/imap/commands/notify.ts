// NOTIFY (RFC 5465 8).
import { type FetchItem, parseFetchItems } from '../fetch-item.js';
import { type MailboxFilter, parseMailboxFilter } from '../mailbox-filter.js';
import type { CommandReader } from '../reader.js';

const eventNames = {
  MESSAGENEW: 'MessageNew',
  MESSAGEEXPUNGE: 'MessageExpunge',
  FLAGCHANGE: 'FlagChange',
  MAILBOXNAME: 'MailboxName',
  SUBSCRIPTIONCHANGE: 'SubscriptionChange',
  ANNOTATIONCHANGE: 'AnnotationChange',
  MAILBOXMETADATACHANGE: 'MailboxMetadataChange',
  SERVERMETADATACHANGE: 'ServerMetadataChange',
} as const;
export type NotifyEvent = (typeof eventNames)[keyof typeof eventNames];

export interface NotifyGroup {
  readonly filter: MailboxFilter;
  /** Empty for NONE. */
  readonly events: ReadonlySet<NotifyEvent>;
  /** Some event is one that nobody has defined yet (RFC 5465 8, event-ext). */
  readonly hasUnknownEvents: boolean;
  /** What of new messages is sent at once; only for the selected mailbox. */
  readonly items: readonly FetchItem[] | undefined;
}

export type NotifyCommand =
  | { readonly kind: 'none' }
  | { readonly kind: 'set'; readonly withStatus: boolean; readonly groups: readonly NotifyGroup[] };

const maxGroups = 100;

export function parseNotify(reader: CommandReader): NotifyCommand {
  reader.space();
  if (reader.tryWord('NONE')) {
    reader.end();
    return { kind: 'none' };
  }
  if (!reader.tryWord('SET')) reader.fail('Expected SET or NONE');
  const groups: NotifyGroup[] = [];
  let withStatus = false;
  while (reader.trySpace()) {
    if (groups.length === 0 && !withStatus && reader.tryWord('STATUS')) {
      withStatus = true;
      continue;
    }
    if (groups.length >= maxGroups) reader.fail('Too many event groups.');
    groups.push(parseGroup(reader));
  }
  reader.end();
  if (groups.length === 0) reader.fail('No event groups.');
  const selected = groups.filter(({ filter }) => filter.kind === 'selected' || filter.kind === 'selected-delayed');
  if (selected.length > 1) reader.fail('The selected mailbox may be named once.');
  return { kind: 'set', withStatus, groups };
}

function parseGroup(reader: CommandReader): NotifyGroup {
  reader.char('(');
  const filter = parseMailboxFilter(reader);
  reader.space();
  const isSelected = filter.kind === 'selected' || filter.kind === 'selected-delayed';
  const events = new Set<NotifyEvent>();
  let items: readonly FetchItem[] | undefined;
  let hasUnknownEvents = false;
  if (!reader.tryWord('NONE')) {
    reader.list(() => {
      const name = reader.word('event');
      const event = Object.hasOwn(eventNames, name) ? eventNames[name as keyof typeof eventNames] : undefined;
      if (event === undefined) {
        hasUnknownEvents = true;
        return;
      }
      events.add(event);
      if (event !== 'MessageNew' || !reader.text.startsWith(' (', reader.position)) return;
      if (!isSelected) reader.fail('FETCH items are for the selected mailbox only.');
      reader.space();
      items = parseFetchItems(reader);
    });
    if (events.size === 0 && !hasUnknownEvents) reader.fail('No events.');
  }
  reader.char(')');
  checkEvents(reader, events, isSelected);
  return { filter, events, hasUnknownEvents, items };
}

/** RFC 5465 5: which events need each other, and which exist for the selected mailbox. */
function checkEvents(reader: CommandReader, events: ReadonlySet<NotifyEvent>, isSelected: boolean): void {
  if (events.has('MessageNew') !== events.has('MessageExpunge')) reader.fail('MessageNew and MessageExpunge must be together');
  const depends = events.has('FlagChange') || events.has('AnnotationChange');
  if (depends && !events.has('MessageNew')) reader.fail('FlagChange and AnnotationChange require MessageNew and MessageExpunge');
  if (!isSelected) return;
  for (const event of events) {
    if (event === 'MailboxName' || event === 'SubscriptionChange' || event.endsWith('MetadataChange'))
      reader.fail(`${event} is no event of the selected mailbox`);
  }
}
