import { type NotifyEvent, type NotifyGroup, parseNotify } from '#protocol/imap/commands/notify.js';
import { row } from '../command-spec.js';
import { NotifyFeed } from '../notify-feed.js';
import { NotifyInterest } from '../notify-interest.js';
import { no, ok } from '../outcome.js';
import { writeUpdates } from '../update-writer.js';

const messageEvents = ['MessageNew', 'MessageExpunge', 'FlagChange', 'MailboxName', 'SubscriptionChange'] as const;
const metadataEvents = ['MailboxMetadataChange', 'ServerMetadataChange'] as const;

/** RFC 5465 */
export const notifyRow = row({
  name: 'NOTIFY',
  state: 'authenticated',
  flags: [],
  parse: parseNotify,
  async run(session, command, { signal }) {
    // RFC 5465 5.6, 5.7: those of METADATA come with it.
    const supported: readonly NotifyEvent[] = session.settings.imap_metadata ? [...messageEvents, ...metadataEvents] : messageEvents;
    const isRefused = ({ events, hasUnknownEvents }: NotifyGroup): boolean =>
      hasUnknownEvents || [...events].some((event) => !supported.includes(event));
    if (command.kind === 'set' && command.groups.some(isRefused))
      return no('Unsupported NOTIFY events.', `BADEVENT (${supported.join(' ')})`);
    await session.notify?.close();
    session.endNotify();
    if (command.kind === 'none') return ok('NOTIFY completed.');
    // RFC 5465 3.1: what happened until now is told in any case.
    await writeUpdates(session, { allowExpunge: true }, signal);
    const interest = new NotifyInterest(session.user, command.groups);
    const feed = new NotifyFeed(session, interest);
    if (!(await feed.start(command.withStatus))) {
      // RFC 5465 5.8: as if the client had asked for NONE.
      session.text('* OK [NOTIFICATIONOVERFLOW] Too many mailboxes to watch.\r\n');
      return ok('NOTIFY completed.');
    }
    session.notify = feed;
    session.newMessageItems = interest.selectedItems;
    session.selectedEvents = interest.selectedEvents;
    return ok('NOTIFY completed.');
  },
});
