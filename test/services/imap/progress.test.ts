import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withProgress } from '#services/imap/progress.js';
import { createImapWorld } from '../../support/imap-world.js';

describe('INPROGRESS', () => {
  for (const [title, tag, done, goal, expected] of [
    ['a tag that would end the code', 'a]1', 3, 10, 'NIL 3 10'],
    ['a goal without what is done', 'a1', undefined, 10, '"a1" NIL NIL'],
    ['a goal that is reached', 'a1', 10, 10, '"a1" 10 NIL'],
  ] as const) {
    it(`leaves out ${title}`, async () => {
      await using world = await createImapWorld();
      const { client, connection } = await world.connect();
      await client.ok('NOOP');
      const { session } = connection;
      const work = async (progress: { done: number | undefined; goal: number | undefined }): Promise<void> => {
        Object.assign(progress, { done, goal });
        assert.equal(await client.line(), `* OK [INPROGRESS (${expected})] Still working.`);
      };
      await withProgress(session, { tag, isUid: false, signal: session.signal }, work, 5);
    });
  }

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
