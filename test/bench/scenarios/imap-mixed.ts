// Many clients, each doing what mail programs do, in the proportions of imaptest's default profile.
import { ImapLoad } from '../load/imap-client.js';
import { request, requestWithLiteral, type Session, type WorkerPlan } from '../load/plan.js';
import { withPlay } from '../load/play.js';
import { clientFigures, type LoadResult, loadFigures } from '../load/run.js';
import { message } from '../mail.js';
import { writeMaildir } from '../maildir.js';
import { type Peer, type Protocol, password, userName } from '../peers/peer.js';
import { pick, type Scenario, type Size } from '../scenario.js';

const users = 20;
const messages = 50;

/** A number generator of its own for each client, so that every server gets the same commands. */
function numbers(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** What one session sends between login and logout. Percentages are how often a session of imaptest does each step. */
function session(next: (below: number) => number): Session {
  const requests: Buffer[] = [];
  const happens = (percent: number): boolean => next(100) < percent;
  const send = (text: string): void => void requests.push(request(text));
  if (happens(50)) send('LIST "" "*"');
  if (happens(50)) send('STATUS INBOX (MESSAGES UNSEEN UIDNEXT)');
  send('SELECT INBOX');
  send(`UID FETCH 1:* (FLAGS)`);
  for (let round = 0; round < 4; round++) {
    const seq = next(messages / 2) + 1;
    send(`FETCH ${seq}:${seq + 5} (UID FLAGS ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)`);
    if (happens(30)) send(`FETCH ${seq} BODY.PEEK[]`);
    if (happens(50)) send(`STORE ${seq} ${next(2) === 0 ? '+' : '-'}FLAGS (\\Flagged)`);
    if (happens(15)) send('NOOP');
  }
  if (happens(20)) {
    requests.push(requestWithLiteral('APPEND INBOX', message(2_000, next(1_000))));
    // What is appended is expunged again, so that the mailboxes keep their size.
    send('STORE * +FLAGS.SILENT (\\Deleted)');
    send('EXPUNGE');
  }
  return requests;
}

/** More than servers do in the time they are measured; a worker that has played its part of them begins anew. */
const sessionsAtLeast = 8_000;

/** Workers that log in, work and log out, one session after the other. */
function plans(workers: number): readonly WorkerPlan[] {
  const each = Math.ceil(sessionsAtLeast / workers);
  return Array.from({ length: workers }, (_, worker) => {
    const next = numbers(worker + 1);
    return { kind: 'sessions', user: userName(worker % users), sessions: Array.from({ length: each }, () => session(next)) };
  });
}

function sessions(
  peer: Peer,
  { protocol, workers, durationMs }: { readonly protocol: Protocol; readonly workers: number; readonly durationMs: number },
): Promise<LoadResult> {
  return withPlay({ peer, protocol, plans: plans(workers) }, async (play) => (await play(durationMs)).commands);
}

/** After so many sessions the code of all processes is compiled, on a quick machine and a busy one. */
const warmUpSessions = 3_000;
const longestWarmUpMs = 60_000;

/** Measured is the state that lasts, as in logins/*. */
async function warmUp(peer: Peer, protocol: Protocol): Promise<void> {
  await withPlay({ peer, protocol, plans: plans(users) }, (play) => play(longestWarmUpMs, warmUpSessions));
}

/** Mailboxes of all users, opened once. */
async function prepare(peer: Peer, protocol: Protocol, size: Size): Promise<void> {
  for (let user = 0; user < users; user++) writeMaildir(peer, user, { count: messages, bytes: 2_000 });
  const first = await Promise.all(
    Array.from({ length: users }, (_, user) => ImapLoad.login(peer.endpoint('imap'), userName(user), password)),
  );
  for (const client of first) {
    await client.command('SELECT INBOX');
    await client.logout();
  }
  if (size === 'full') await warmUp(peer, protocol);
}

interface Variant {
  readonly clients: 20 | 200;
  readonly protocol: Protocol;
  readonly isDirect?: boolean;
}

function mixed({ clients, protocol, isDirect = false }: Variant): Scenario {
  const kind = `${isDirect ? '-direct' : ''}${protocol === 'imaps' ? '-tls' : ''}`;
  return {
    name: `imap/mixed-${clients}${kind}`,
    about:
      `login, list, status, select, fetch, store, append, expunge, logout: ${clients} clients of ${users} users, ${protocol}, ` +
      `fsync as configured by default, ${isDirect ? 'Roost in direct mode' : 'login pools'}`,
    peers: ['roost', 'dovecot'],
    isVariant: clients !== 20 || kind !== '',
    options: () => ({ mode: isDirect ? 'direct' : 'performance', users }),
    prepare: (peer, size) => prepare(peer, protocol, size),
    async run(peer, size) {
      const result = await sessions(peer, { protocol, workers: pick(size, 4, clients), durationMs: pick(size, 300, 6_000) });
      return loadFigures('command', result);
    },
  };
}

export const imapMixedScenarios: readonly Scenario[] = [
  mixed({ clients: 20, protocol: 'imap' }),
  mixed({ clients: 20, protocol: 'imap', isDirect: true }),
  mixed({ clients: 20, protocol: 'imaps' }),
  mixed({ clients: 20, protocol: 'imaps', isDirect: true }),
  mixed({ clients: 200, protocol: 'imap' }),
  mixed({ clients: 200, protocol: 'imap', isDirect: true }),
  mixed({ clients: 200, protocol: 'imaps' }),
  mixed({ clients: 200, protocol: 'imaps', isDirect: true }),
  {
    name: 'client/mixed',
    about:
      'the load client itself: mixed sessions of 20 clients against Roost, and against a stub with constant replies of the same size (peer)',
    peers: ['roost', 'stub'],
    options: () => ({ mode: 'performance', users }),
    prepare: async (peer, size) => (peer.name === 'stub' ? undefined : prepare(peer, 'imap', size)),
    async run(peer, size) {
      const result = await sessions(peer, { protocol: 'imap', workers: pick(size, 4, 20), durationMs: pick(size, 300, 3_000) });
      return clientFigures('command', result);
    },
  },
];
