import { type NotifyEvent, parseNotify } from '#protocol/imap/commands/notify.js';
import { row } from '../command-spec.js';
import { NotifyFeed } from '../notify-feed.js';
import { no, ok } from '../outcome.js';

const supported: ReadonlySet<NotifyEvent> = new Set(['MessageNew', 'MessageExpunge', 'FlagChange', 'MailboxName', 'SubscriptionChange']);

/** RFC 5465 */
export const notifyRow = row({
  name: 'NOTIFY',
  state: 'authenticated',
  flags: [],
  parse: parseNotify,
  async run(session, command) {
    if (command.kind === 'set' && command.groups.some(({ events }) => [...events].some((event) => !supported.has(event))))
      return no('Unsupported NOTIFY events.', `BADEVENT (${[...supported].join(' ')})`);
    await session.notify?.close();
    session.notify = undefined;
    session.newMessageItems = undefined;
    if (command.kind === 'none') return ok('NOTIFY completed.');
    const feed = new NotifyFeed(session, command.groups);
    if (!(await feed.start(command.withStatus))) {
      // RFC 5465 5.8: as if the client had asked for NONE.
      session.text('* OK [NOTIFICATIONOVERFLOW] Too many mailboxes to watch.\r\n');
      return ok('NOTIFY completed.');
    }
    session.notify = feed;
    session.newMessageItems = command.groups.find(({ items }) => items !== undefined)?.items;
    return ok('NOTIFY completed.');
  },
});
