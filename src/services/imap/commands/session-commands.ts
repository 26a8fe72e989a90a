// NOOP, CHECK, LOGOUT, and the commands that only make sense before login.
import { parseNothing } from '#protocol/imap/commands/no-arguments.js';
import { type CommandRow, row } from '../command-spec.js';
import { bad, ok } from '../outcome.js';

export const noopRow = row({
  name: 'NOOP',
  state: 'any',
  flags: ['asks-for-news', 'beside-search'],
  parse: parseNothing,
  run: async () => ok('NOOP completed.'),
});

export const checkRow = row({
  name: 'CHECK',
  state: 'selected',
  flags: ['asks-for-news', 'beside-search'],
  parse: parseNothing,
  run: async () => ok('Check completed.'),
});

export const logoutRow = row({
  name: 'LOGOUT',
  state: 'any',
  flags: ['no-updates'],
  parse: parseNothing,
  async run(session) {
    session.isLoggingOut = true;
    session.text('* BYE Logging out\r\n');
    return ok('Logout completed.');
  },
});

/** RFC 8437 3: the client stays, and whoever it logs in as next. */
export const unauthenticateRow = row({
  name: 'UNAUTHENTICATE',
  state: 'any',
  flags: ['no-updates'],
  parse: parseNothing,
  async run(session) {
    if (!session.canUnauthenticate) return bad('Error in IMAP command UNAUTHENTICATE: Not possible on this connection.');
    session.isUnauthenticated = true;
    return ok('Unauthenticated.');
  },
});

/** The client is logged in already (RFC 9051 6.2: only in the not authenticated state). */
export const loginAgainRows: readonly CommandRow[] = ['LOGIN', 'AUTHENTICATE', 'STARTTLS'].map((name) =>
  row({
    name,
    state: 'any',
    flags: ['no-updates'],
    // The arguments may hold a password: they are not looked at.
    parse: () => undefined,
    run: async () => bad(`Error in IMAP command ${name}: Already logged in.`),
  }),
);
