// Dovecot and Roost serve one Maildir at the same time, with clients at work on both: only the dotlocks are between them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { agreedState, ImapClient } from './support/imap.js';
import { deliver, makeMessage } from './support/mail.js';
import { Random } from './support/random.js';
import { type ServerName, startServer } from './support/servers.js';
import { makeWorld } from './support/world.js';

const rounds = 25;

interface Outcome {
  /** UIDs of APPENDUID and COPYUID by mailbox, in the order in which they were told. */
  readonly given: Record<'INBOX' | 'Work', number[]>;
  readonly expunged: Set<number>;
}

async function work(port: number, who: string, seed: number): Promise<Outcome> {
  const random = new Random(seed);
  const outcome: Outcome = { given: { INBOX: [], Work: [] }, expunged: new Set() };
  const client = await ImapClient.login(port, 'anna');
  await client.ok('SELECT INBOX');
  const mine: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const uid = await client.append('INBOX', '', makeMessage({ subject: `${who} ${round}` }));
    outcome.given.INBOX.push(uid);
    mine.push(uid);
    await client.ok('NOOP');
    await client.ok(`UID STORE ${random.pick(mine)} +FLAGS.SILENT (\\Seen by-${who})`);
    if (random.chance(0.3)) {
      const target = random.pick(mine);
      const lines = await client.run(`UID COPY ${target} Work`);
      const copy = /\[COPYUID \d+ \d+ (\d+)\]/.exec(lines.at(-1) ?? '')?.[1];
      assert.ok(copy !== undefined, lines.join('\n'));
      outcome.given.Work.push(Number(copy));
    }
    if (mine.length > 5 && random.chance(0.4)) {
      const [gone = 0] = mine.splice(random.below(mine.length), 1);
      await client.ok(`UID STORE ${gone} +FLAGS.SILENT (\\Deleted)`);
      await client.ok(`UID EXPUNGE ${gone}`);
      outcome.expunged.add(gone);
    }
  }
  await client.logout();
  return outcome;
}

describe('Dovecot and Roost on one Maildir at the same time', () => {
  it('give no UID twice, lose no message and no flag, and agree in the end', async (test) => {
    const dovecot = await makeWorld();
    const roost = await makeWorld({ mailOf: dovecot });
    const seed = Number(process.env['ROOST_INTEROP_SEED'] ?? Math.floor(Math.random() * 1e6));
    test.diagnostic(`ROOST_INTEROP_SEED=${seed}`);
    try {
      await using first = await startServer('dovecot', dovecot);
      await using second = await startServer('roost', roost);
      const ports: Readonly<Record<ServerName, number>> = { dovecot: dovecot.ports.imap, roost: roost.ports.imap };
      const setup = await ImapClient.login(ports.dovecot, 'anna');
      await setup.ok('CREATE Work');
      await setup.logout();
      const deliveries = async (world: typeof dovecot, who: string): Promise<void> => {
        for (let number = 0; number < 6; number++) await deliver(world, 'anna', makeMessage({ subject: `${who} delivers ${number}` }));
      };
      const [fromDovecot, alsoFromDovecot, fromRoost, alsoFromRoost] = await Promise.all([
        work(ports.dovecot, 'd1', seed),
        work(ports.dovecot, 'd2', seed + 1),
        work(ports.roost, 'r1', seed + 2),
        work(ports.roost, 'r2', seed + 3),
        deliveries(dovecot, 'dovecot'),
        deliveries(roost, 'roost'),
      ]);
      const outcomes = [fromDovecot, alsoFromDovecot, fromRoost, alsoFromRoost];
      const state = await agreedState([ports.roost, ports.dovecot], 'anna');
      for (const name of ['INBOX', 'Work'] as const) {
        const given = outcomes.flatMap((outcome) => outcome.given[name]);
        assert.equal(new Set(given).size, given.length, `no UID of ${name} given twice`);
        const there = new Set(state.mailboxes[name]?.messages.map(({ uid }) => uid));
        const lost = given.filter((uid) => !there.has(uid) && !(name === 'INBOX' && outcomes.some(({ expunged }) => expunged.has(uid))));
        assert.deepEqual(lost, [], `${name}: lost`);
      }
      const expunged = outcomes.flatMap((outcome) => [...outcome.expunged]);
      const left = state.mailboxes['INBOX']?.messages ?? [];
      assert.deepEqual(
        left.filter(({ uid }) => expunged.includes(uid)),
        [],
        'expunged messages stay away',
      );
      assert.equal(left.length, 4 * rounds + 12 - expunged.length);
      for (const outcome of outcomes)
        assert.ok(
          [...outcome.given.INBOX].every((uid, index, all) => index === 0 || uid > (all[index - 1] ?? 0)),
          'UIDs grow',
        );
      assert.doesNotMatch(first.log(), /Panic|Corrupt|Broken/, first.log());
      assert.doesNotMatch(second.log(), /"level":"(error|fatal)"/, second.log());
    } finally {
      dovecot.remove();
      roost.remove();
    }
  });
});
