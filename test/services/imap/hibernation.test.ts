// An idling session on its way out of the process: what it still does while nobody takes it.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import type { PassWait } from '#service-kit/role.js';
import { ImapConnection } from '#services/imap/connection.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import { defaultImapSettings } from '../../support/imap-world.js';
import { LineClient } from '../../support/line-client.js';
import { streamPair } from '../../support/stream-pair.js';

interface Leaving {
  readonly client: LineClient;
  readonly connection: ImapConnection;
  readonly done: Promise<void>;
  /** Resolves with each attempt to pass the session on. */
  offered(): Promise<PassWait & { answer(isTaken: boolean): void }>;
}

async function idling(test: TestContext, keepAliveMs = 0): Promise<Leaving> {
  const user = createMemoryAccount()();
  const [near, far] = streamPair();
  const client = new LineClient(near);
  type Offer = PassWait & { answer(isTaken: boolean): void };
  const offers: Offer[] = [];
  let onOffer = (): void => undefined;
  const connection = new ImapConnection({
    stream: far,
    user,
    settings: defaultImapSettings({ imap_idle_notify_interval: keepAliveMs, imap_hibernate_timeout: 20 }),
    log: silentLogger,
    // As the kit does it: an end of the wait is a refusal; what came waits in the stream.
    passOn: (_state, _hold, wait) =>
      new Promise((resolve) => {
        wait.signal.addEventListener('abort', () => resolve(false));
        offers.push({ ...wait, answer: resolve });
        onOffer();
      }),
  });
  const done = connection.run().finally(() => user[Symbol.asyncDispose]());
  test.after(async () => {
    client.close();
    await done;
  });
  client.raw('a1 IDLE\r\n');
  assert.equal(await client.line(), '+ idling');
  return {
    client,
    connection,
    done,
    offered: async () => {
      while (offers.length === 0) {
        await new Promise<void>((resolve) => {
          onOffer = resolve;
        });
      }
      const offer = offers.shift();
      assert.ok(offer !== undefined);
      return offer;
    },
  };
}

describe('A session that nobody takes yet', () => {
  it('answers its client', async (test) => {
    const { client, offered } = await idling(test);
    await offered();
    client.raw('DONE\r\n');
    assert.match((await client.line()) ?? '', /^a1 OK Idle completed/);
    await client.ok('NOOP');
  });

  it('says that it is still here', async (test) => {
    const { client, offered } = await idling(test, 50);
    await offered();
    assert.equal(await client.line(), '* OK Still here');
    assert.equal(await client.line(), '* OK Still here');
  });

  it('says nothing once a process was found, until that one has refused', async (test) => {
    const { client, offered } = await idling(test, 10);
    const offer = await offered();
    offer.onFound();
    // What was said before may still be on its way.
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    while (client.unread.length > 0) await client.line();
    await new Promise((resolve) => setTimeout(resolve, 40));
    assert.deepEqual(client.unread, []);
    offer.answer(false);
    assert.equal(await client.line(), '* OK Still here');
  });

  it('ends when it is kicked', async (test) => {
    const { client, connection, done, offered } = await idling(test);
    await offered();
    connection.stop('kicked');
    let line = await client.line();
    if (line?.startsWith('a1 ')) line = await client.line();
    assert.equal(line, '* BYE Disconnected by administrator.');
    await done;
  });

  it('ends when its client has gone', async (test) => {
    const { client, done, offered } = await idling(test);
    await offered();
    client.stream.end();
    await done;
  });

  it('is offered again', async (test) => {
    const { offered, done } = await idling(test);
    (await offered()).answer(false);
    (await offered()).answer(true);
    await done;
  });
});
