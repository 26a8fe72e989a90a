// When a session in IDLE is given to what folds it, and what it does where that fails.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { ImapConnection } from '#services/imap/connection.js';
import type { Fold } from '#services/imap/folding.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import { defaultImapSettings } from '../../support/imap-world.js';
import { LineClient } from '../../support/line-client.js';
import { streamPair } from '../../support/stream-pair.js';

interface Idling {
  readonly client: LineClient;
  readonly done: Promise<void>;
  readonly errors: string[];
}

async function idling(test: TestContext, fold: Fold, ahead = ''): Promise<Idling> {
  const user = createMemoryAccount()();
  const [near, far] = streamPair();
  const client = new LineClient(near);
  const errors: string[] = [];
  const connection = new ImapConnection({
    stream: far,
    user,
    settings: defaultImapSettings({ imap_idle_notify_interval: 0, imap_fold_timeout: 20 }),
    log: { ...silentLogger, error: (_event, text) => void errors.push(text) },
    fold,
  });
  const done = connection.run().finally(() => user[Symbol.asyncDispose]());
  test.after(async () => {
    client.close();
    await done;
  });
  client.raw(`a1 IDLE\r\n${ahead}`);
  assert.equal(await client.line(), '+ idling');
  return { client, done, errors };
}

describe('A session in IDLE that is to be folded', () => {
  it('ends here without a word, and leaves the stream as it is', async (test) => {
    const told: { readonly tag: string; readonly bytesRead: number }[] = [];
    const { client, done } = await idling(test, (state) => void told.push(state));
    await done;
    assert.deepEqual(
      told.map(({ tag, bytesRead }) => [tag, bytesRead]),
      [['a1', 9]],
    );
    assert.deepEqual(client.unread, []);
    assert.equal(client.isClosed, false);
  });

  it('goes on when nobody can take it, and is not asked again', async (test) => {
    let asked = 0;
    let onAsked = (): void => undefined;
    const wasAsked = new Promise<void>((resolve) => {
      onAsked = resolve;
    });
    const { client, errors } = await idling(test, () => {
      asked += 1;
      onAsked();
      throw new Error('no room');
    });
    await wasAsked;
    client.raw('DONE\r\n');
    assert.match((await client.line()) ?? '', /^a1 OK Idle completed/);
    await client.ok('NOOP');
    assert.equal(asked, 1);
    assert.deepEqual(errors, ['An idling session cannot be folded: Error: no room']);
  });

  it('stays while its client is in the middle of a line', async (test) => {
    let asked = 0;
    const { client } = await idling(
      test,
      () => {
        asked += 1;
      },
      'DO',
    );
    await new Promise((resolve) => setTimeout(resolve, 60));
    client.raw('NE\r\n');
    assert.match((await client.line()) ?? '', /^a1 OK Idle completed/);
    assert.equal(asked, 0);
  });
});
