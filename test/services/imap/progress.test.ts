import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withProgress } from '#services/imap/progress.js';
import { createImapWorld } from '../../support/imap-world.js';

describe('INPROGRESS', () => {
  it('tells how far a long command is, and stops with it', async () => {
    await using world = await createImapWorld();
    const { client, connection } = await world.connect();
    await client.ok('NOOP');
    const { session } = connection;
    const call = { tag: 'a"1', isUid: false, signal: session.signal };
    const result = await withProgress(
      session,
      call,
      async (progress) => {
        assert.equal(await client.line(), '* OK [INPROGRESS ("a\\"1" NIL NIL)] Still working.');
        progress.done = 3;
        progress.goal = 10;
        assert.match((await client.line()) ?? '', /^\* OK \[INPROGRESS \("a\\"1" (?:NIL NIL|3 10)\)\]/);
        return 'done';
      },
      5,
    );
    assert.equal(result, 'done');
    await client.ok('NOOP');
  });
});
