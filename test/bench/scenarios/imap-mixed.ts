// Many clients, each doing what mail programs do, in the proportions of imaptest's default profile.
import { ImapLoad } from '../load/imap-client.js';
import { type LoadResult, runLoad } from '../load/run.js';
import { message } from '../mail.js';
import { writeMaildir } from '../maildir.js';
import { type Peer, type Protocol, password, userName } from '../peers/peer.js';
import { pick, type Scenario, type Size } from '../scenario.js';
import { percentile } from '../stats.js';

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

interface Timing {
  commands: number;
  readonly latencies: number[];
}

/** One session, login to logout. Percentages are how often a session of imaptest does each step. */
async function session(peer: Peer, protocol: Protocol, user: number, next: (below: number) => number, timing: Timing): Promise<void> {
  const timed = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    const before = performance.now();
    const result = await work();
    timing.latencies.push(performance.now() - before);
    timing.commands += 1;
    return result;
  };
  const happens = (percent: number): boolean => next(100) < percent;
  const client = await timed(() => ImapLoad.login(peer.endpoint(protocol), userName(user), password));
  const send = (text: string): Promise<Buffer> => timed(() => client.command(text));
  if (happens(50)) await send('LIST "" "*"');
  if (happens(50)) await send('STATUS INBOX (MESSAGES UNSEEN UIDNEXT)');
  await send('SELECT INBOX');
  await send(`UID FETCH 1:* (FLAGS)`);
  for (let round = 0; round < 4; round++) {
    const seq = next(messages / 2) + 1;
    await send(`FETCH ${seq}:${seq + 5} (UID FLAGS ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)`);
    if (happens(30)) await send(`FETCH ${seq} BODY.PEEK[]`);
    if (happens(50)) await send(`STORE ${seq} ${next(2) === 0 ? '+' : '-'}FLAGS (\\Flagged)`);
    if (happens(15)) await send('NOOP');
  }
  if (happens(20)) {
    await timed(() => client.withLiteral('APPEND INBOX', message(2_000, next(1_000))));
    // What is appended is expunged again, so that the mailboxes keep their size.
    await send('STORE * +FLAGS.SILENT (\\Deleted)');
    await send('EXPUNGE');
  }
  await timed(() => client.logout());
}

/** Workers that log in, work and log out, one session after the other. */
async function sessions(
  peer: Peer,
  { protocol, workers, durationMs }: { readonly protocol: Protocol; readonly workers: number; readonly durationMs: number },
): Promise<{ readonly timing: Timing; readonly result: LoadResult }> {
  const timing: Timing = { commands: 0, latencies: [] };
  const generators = Array.from({ length: workers }, (_, worker) => numbers(worker + 1));
  const result = await runLoad({ serverPid: peer.pid, workers, durationMs }, (worker) =>
    session(peer, protocol, worker % users, generators[worker] ?? numbers(0), timing),
  );
  return { timing, result };
}

/** After so many sessions the code of all processes is compiled, on a quick machine and a busy one. */
const warmUpSessions = 3_000;
const longestWarmUpMs = 60_000;

/** Measured is the state that lasts, as in logins/*. */
async function warmUp(peer: Peer, protocol: Protocol): Promise<void> {
  const until = performance.now() + longestWarmUpMs;
  let left = warmUpSessions;
  await Promise.all(
    Array.from({ length: users }, async (_, worker) => {
      const next = numbers(worker + 1);
      while (left > 0 && performance.now() < until) {
        left -= 1;
        await session(peer, protocol, worker, next, { commands: 0, latencies: [] });
      }
    }),
  );
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
      const { timing, result } = await sessions(peer, { protocol, workers: pick(size, 4, clients), durationMs: pick(size, 300, 6_000) });
      return [
        { metric: 'commands/s', unit: '1/s', better: 'higher', value: timing.commands / result.seconds },
        { metric: 'server CPU per command', unit: 'ms', better: 'lower', value: result.serverCpuMs / timing.commands },
        { metric: 'command p50', unit: 'ms', better: 'lower', value: percentile(timing.latencies, 50) },
        { metric: 'command p99', unit: 'ms', better: 'lower', value: percentile(timing.latencies, 99) },
      ];
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
      const { timing, result } = await sessions(peer, { protocol: 'imap', workers: pick(size, 4, 20), durationMs: pick(size, 300, 3_000) });
      return [
        { metric: 'commands/s', unit: '1/s', better: 'higher', value: timing.commands / result.seconds },
        { metric: 'client CPU per command', unit: 'ms', better: 'lower', value: result.clientCpuMs / timing.commands },
        { metric: 'client CPU, part of one core', unit: '1', better: 'lower', value: result.clientCpuMs / 1_000 / result.seconds },
      ];
    },
  },
];
