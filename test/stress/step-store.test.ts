import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Profile } from './profile.js';
import { type Reply, scripted } from './scripted-session.js';
import { store } from './step-store.js';

/** A client that knows UID 7 as \Seen sends UID STORE 7 +FLAGS.SILENT (\Deleted). @returns the flags it takes the message to have then */
async function silentStore(notify: Profile['notify'], ...reply: Reply): Promise<string | undefined> {
  let flags: string | undefined;
  await scripted(
    [7],
    () => [reply],
    // Of all flags \Deleted, and no UNCHANGEDSINCE.
    (below) => (below === 4 ? 1 : 0),
    async (session) => {
      session.profile = { ...session.profile, notify };
      await store(session);
      flags = session.view?.messages[0]?.flags;
    },
  );
  return flags;
}

describe('What a client takes for the flags of a message after STORE', () => {
  it('is its own change where it is told nothing', async () => {
    assert.equal(await silentStore(undefined, 'OK Done'), '\\Deleted \\Seen');
  });

  it('is what it is told', async () => {
    assert.equal(await silentStore(undefined, '1 FETCH (FLAGS (\\Deleted kw1))', 'OK Done'), '\\Deleted kw1');
  });

  // RFC 5465 6.2: only expunges are held back; a change that somebody made before was told while the command was on its way.
  for (const notify of ['SELECTED', 'SELECTED-DELAYED'] as const)
    it(`is not known where changes are told at once (${notify}): what was told may be older`, async () => {
      assert.equal(await silentStore(notify, '1 FETCH (UID 7 FLAGS (kw1))', '1 FETCH (UID 7 MODSEQ (9))', 'OK Done'), undefined);
      assert.equal(await silentStore(notify, 'OK Done'), '\\Deleted \\Seen');
    });
});
