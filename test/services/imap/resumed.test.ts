// A session that comes back from imap-hibernate: the 30 minutes in which a client may be silent go on where they were.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { ImapConnection } from '#services/imap/connection.js';
import { newCounters } from '#services/imap/counters.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import { defaultImapSettings } from '../../support/imap-world.js';
import { LineClient } from '../../support/line-client.js';
import { streamPair } from '../../support/stream-pair.js';

const minuteMs = 60_000;

interface Resumed {
  readonly client: LineClient;
  readonly done: Promise<void>;
  readonly log: string[];
}

/** On a clock that stands still until the test ticks it. */
function resume(test: TestContext, silentMs: number): Resumed {
  test.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 });
  const user = createMemoryAccount()();
  const [near, far] = streamPair();
  const client = new LineClient(near);
  const log: string[] = [];
  const connection = new ImapConnection({
    stream: far,
    user,
    settings: defaultImapSettings({ imap_idle_notify_interval: 0 }),
    log: { ...silentLogger, info: (_event, text) => void log.push(text) },
    resumed: {
      version: 1,
      tag: 'a7',
      enabled: [],
      selected: undefined,
      savedSearch: [],
      counters: newCounters(),
      bytesRead: 100,
      bytesWritten: 200,
      lastInputAtMs: Date.now() - silentMs,
    },
  });
  const done = connection.run().finally(() => user[Symbol.asyncDispose]());
  test.after(async () => {
    client.close();
    await done;
  });
  return { client, done, log };
}

async function endsForInactivity(client: LineClient): Promise<void> {
  let line = await client.line();
  // An IDLE that still runs ends first.
  if (line?.startsWith('a7 ')) line = await client.line();
  assert.equal(line, '* BYE Disconnected for inactivity.');
}

describe('A resumed session', () => {
  it('ends 30 minutes after the last words of its client, wherever it was meanwhile', async (test) => {
    const { client, done, log } = resume(test, 29 * minuteMs);
    test.mock.timers.tick(minuteMs - 1);
    assert.deepEqual(log, []);
    test.mock.timers.tick(1);
    await endsForInactivity(client);
    await done;
    assert.match(log.join('\n'), /Disconnected: Inactivity - no input for 1800 secs.*in=100 out=2\d\d/);
  });

  it('ends at once when they are over', async (test) => {
    const { client } = resume(test, 31 * minuteMs);
    test.mock.timers.tick(0);
    await endsForInactivity(client);
  });

  it('has the whole time again after the next words', async (test) => {
    const { client } = resume(test, 29 * minuteMs);
    client.raw('DONE\r\n');
    assert.match((await client.line()) ?? '', /^a7 OK Idle completed/);
    for (let round = 0; round < 2; round += 1) {
      test.mock.timers.tick(30 * minuteMs - 1);
      await client.ok('NOOP');
    }
    test.mock.timers.tick(30 * minuteMs);
    await endsForInactivity(client);
  });

  it('is not given more than the whole time by a clock that was set back', async (test) => {
    const { client } = resume(test, -90 * minuteMs);
    test.mock.timers.tick(30 * minuteMs);
    await endsForInactivity(client);
  });
});
