import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { makeStore } from '../storage/support/store-world.js';
import { mailConfig } from '../support/imap-storages.js';
import { createImapWorld } from '../support/imap-world.js';
import { quotaPlay } from './quota-play.js';
import { seededRandom } from './random.js';

/** Plays with an account whose limits are these, for a judge who has been told others. @returns what it complained of */
async function judged(
  test: TestContext,
  server: { readonly messages: number; readonly bytes: number },
  clients: number,
): Promise<string | undefined> {
  const config = `${mailConfig}plugin {\n  quota = count:User quota\n  quota_rule = *:bytes=${server.bytes}:messages=${server.messages}\n}\n`;
  const store = makeStore(test, config);
  await using world = await createImapWorld({ openUser: () => store.open() });
  const over = new AbortController();
  let complaint: string | undefined;
  const fail = (reason: string): never => {
    complaint ??= reason;
    over.abort();
    throw new Error(reason);
  };
  let steps = 0;
  const random = seededRandom(7);
  const play = quotaPlay({ name: 'q', clients, connect: async () => (await world.connect()).client, maxBytes: 40_960, maxMessages: 8 });
  await play({
    // Each turn of a client ends with a pause.
    random: (below) => {
      if (below === 150 && ++steps > 60) over.abort();
      return below === 150 ? 0 : random(below);
    },
    fail,
    signal: over.signal,
    trace: undefined,
  }).catch((error: unknown) => {
    if (complaint === undefined) throw error;
  });
  return complaint;
}

describe('The judge of quotas', () => {
  for (const clients of [1, 3])
    it(`has nothing to say of a server that keeps them, with ${clients} clients`, async (test) => {
      assert.equal(await judged(test, { messages: 8, bytes: 40_960 }, clients), undefined);
    });

  for (const [what, limits] of [
    ['more messages', { messages: 9, bytes: 40_960 }],
    ['fewer messages', { messages: 7, bytes: 40_960 }],
    ['more octets', { messages: 8, bytes: 41_984 }],
    ['fewer octets', { messages: 8, bytes: 39_936 }],
  ] as const)
    it(`notices a server that allows ${what}`, async (test) => {
      assert.notEqual(await judged(test, limits, 1), undefined);
    });
});
