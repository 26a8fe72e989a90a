import { parseMailboxOnly } from '#protocol/imap/commands/no-arguments.js';
import { row } from '../command-spec.js';
import { ok } from '../outcome.js';

export const subscribeRow = row({
  name: 'SUBSCRIBE',
  state: 'authenticated',
  flags: [],
  parse: parseMailboxOnly,
  async run(session, { mailbox }, { signal }) {
    await session.user.subscribe(mailbox, true, signal);
    session.notify?.expectNames([mailbox]);
    return ok('Subscribe completed.');
  },
});

export const unsubscribeRow = row({
  name: 'UNSUBSCRIBE',
  state: 'authenticated',
  flags: [],
  parse: parseMailboxOnly,
  async run(session, { mailbox }, { signal }) {
    await session.user.subscribe(mailbox, false, signal);
    session.notify?.expectNames([mailbox]);
    return ok('Unsubscribe completed.');
  },
});
