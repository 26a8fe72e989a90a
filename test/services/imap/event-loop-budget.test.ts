// How long one command may keep the event loop to itself. Turns that it gives to others are counted, not timed: a clock that moves only when it is
// looked at makes each look cost what the test says.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Slicer } from '#util/deadline.js';
import { storages } from '../../support/imap-storages.js';
import { createImapWorld, type ImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

/** What a command may work before others get their turn, ms. */
const budgetMs = 8;

/** A clock, and the turns given to the event loop since it was set. */
interface Loop {
  /** Each look at the clock takes this long from now on, ms. */
  lookCostsMs: number;
  turns: number;
  looks: number;
}

function watchLoop(context: TestContext): Loop {
  const loop: Loop = { lookCostsMs: 0, turns: 0, looks: 0 };
  let nowMs = performance.now();
  const realImmediate = setImmediate;
  context.mock.method(performance, 'now', () => {
    loop.looks += 1;
    nowMs += loop.lookCostsMs;
    return nowMs;
  });
  context.mock.method(globalThis, 'setImmediate', (callback: (...values: unknown[]) => void, ...values: unknown[]) => {
    loop.turns += 1;
    return realImmediate(callback, ...values);
  });
  return loop;
}

const headers = (index: number): string =>
  `From: Sender ${index % 7} <s${index % 7}@example.test>\r\nSubject: Number ${index % 11}\r\nMessage-ID: <${index}@example.test>\r\nDate: Mon, 1 Jan 2024 00:00:${String(index % 60).padStart(2, '0')} +0000\r\n`;

/** Fills INBOX and selects it. */
async function filled(client: LineClient, count: number): Promise<void> {
  for (let done = 0; done < count; done += 500) {
    const messages = Array.from({ length: Math.min(500, count - done) }, (_, index) => {
      const text = `${headers(done + index)}\r\nneedle ${done + index}\r\n`;
      return ` {${text.length}+}\r\n${text}`;
    });
    await client.ok(`APPEND INBOX${messages.join('')}`);
  }
  await client.ok('SELECT INBOX');
}

const fsyncNever = 'mail_fsync = never\n';

/** A command, and how many messages may lie between two looks at the clock. */
type Row = readonly [command: string, messagesPerLook: number];

const commands: readonly Row[] = [
  ['FETCH 1:* (UID FLAGS)', 1_024],
  ['FETCH 1:* (UID FLAGS RFC822.SIZE)', 1],
  ['FETCH 1:* (ENVELOPE BODYSTRUCTURE)', 1],
  ['FETCH 1:* BODY.PEEK[TEXT]', 1],
  ['SEARCH TEXT needle', 1],
  // The second time, from what is in memory.
  ['SEARCH SUBJECT 3', 500],
  ['SORT (SUBJECT) UTF-8 ALL', 1],
  ['THREAD REFERENCES UTF-8 ALL', 1],
];

const changes: readonly Row[] = [
  ['STORE 1:* +FLAGS.SILENT (\\Flagged)', 16],
  ['STORE 1:* +FLAGS (\\Deleted)', 16],
  ['COPY 1:* Copies', 16],
  ['EXPUNGE', 16],
];

describe('The slice of time of a command', () => {
  it(`is not over before ${budgetMs} ms, is at ${budgetMs} ms, and begins anew after a turn`, async (context) => {
    const loop = watchLoop(context);
    const slicer = new Slicer();
    loop.lookCostsMs = budgetMs - 1;
    assert.equal(slicer.isDue, false);
    loop.lookCostsMs = 1;
    assert.equal(slicer.isDue, true);
    await slicer.pause();
    assert.equal(loop.turns, 1);
    loop.lookCostsMs = 0;
    assert.equal(slicer.isDue, false);
  });
});

/** Enough for more than one look. */
const messagesFor = (messagesPerLook: number): number => Math.max(200, messagesPerLook * 2 + 50);

for (const [storage, table] of [
  ['memory', commands],
  ['maildir', changes],
] as const) {
  describe(`The event-loop budget of a command (${storage})`, () => {
    const open = (context: TestContext): Promise<ImapWorld> => {
      const openUser = storages[storage]?.(context, { extra: fsyncNever });
      return createImapWorld(openUser === undefined ? {} : { openUser });
    };
    const begin = async (context: TestContext, world: ImapWorld, messages: number) => {
      const { client } = await world.connect();
      await client.ok('CREATE Copies');
      await filled(client, messages);
      return { client, loop: watchLoop(context) };
    };

    for (const [command, messagesPerLook] of table) {
      it(`${command}: no turn is given away within the budget, one at least every ${messagesPerLook} messages past it`, async (context) => {
        await using world = await open(context);
        const messages = messagesFor(messagesPerLook);
        const { client, loop } = await begin(context, world, messages);
        // EXPUNGE has something to do.
        const setUp = command === 'EXPUNGE' ? 'STORE 1:* +FLAGS.SILENT (\\Deleted)' : 'NOOP';
        await client.ok(setUp);
        if (command !== 'EXPUNGE') {
          loop.turns = 0;
          await client.ok(command);
          assert.equal(loop.turns, 0, 'while the clock stands still');
        }
        loop.turns = 0;
        loop.lookCostsMs = budgetMs;
        await client.ok(command.replace('+FLAGS', '-FLAGS'));
        assert.ok(loop.turns >= Math.floor(messages / messagesPerLook) - 1, `${loop.turns} turns for ${messages} messages`);
      });
    }

    it('a neighbour is answered in the middle of a command past its budget', async (context) => {
      await using world = await open(context);
      const [command = '', messagesPerLook = 1] = table[0] ?? [];
      const { client, loop } = await begin(context, world, messagesFor(messagesPerLook));
      const neighbour = (await world.connect()).client;
      await neighbour.ok('NOOP');
      loop.lookCostsMs = budgetMs;
      const ended: string[] = [];
      await Promise.all([client.ok(command).then(() => ended.push('command')), neighbour.ok('NOOP').then(() => ended.push('neighbour'))]);
      assert.deepEqual(ended, ['neighbour', 'command']);
    });
  });
}
