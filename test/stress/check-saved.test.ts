import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSaved } from './check-sort.js';
import { type Reply, type Scripted, scripted } from './scripted-session.js';

/** A client that knows UIDs 7 and 8 saves the result of ALL and fetches it. @param second the reply to the FETCH */
async function save(found: string, second: (scripted: Scripted) => Reply): Promise<void> {
  await scripted(
    [7, 8],
    (about) => [[`ESEARCH (TAG "$tag") UID ALL ${found}`, 'OK Found'], second(about)],
    () => 0,
    checkSaved,
  );
}

describe('The judgement on a saved search result (RFC 5182)', () => {
  it('is that all of it can be fetched, and nothing else', async () => {
    await save('7:8', () => ['1 FETCH (UID 7 RFC822.SIZE 1)', '2 FETCH (UID 8 RFC822.SIZE 1)', 'OK Done']);
    await assert.rejects(
      save('7:8', () => ['1 FETCH (UID 7 RFC822.SIZE 1)', 'OK Done']),
      /\$ has lost UID 8 of ALL/,
    );
    await assert.rejects(
      save('7', () => ['1 FETCH (UID 7 RFC822.SIZE 1)', '2 FETCH (UID 8 RFC822.SIZE 1)', 'OK Done']),
      /\$ has UID 8, which ALL did not find/,
    );
  });

  it('leaves out what somebody has expunged', async () => {
    await save('7:8', ({ ledger }) => [
      () => void ledger.beginExpunge('move', [8]),
      '1 FETCH (UID 7 RFC822.SIZE 1)',
      '2 EXPUNGE',
      'OK [EXPUNGEISSUED] Done',
    ]);
  });

  // Another session's REPLACE of a message with \Deleted was not answered yet when a third one had expunged it.
  it('knows nothing of a message whose saving is not acknowledged yet', async () => {
    await save('7:9', () => [
      '3 EXISTS',
      '1 FETCH (UID 7 RFC822.SIZE 1)',
      '2 FETCH (UID 8 RFC822.SIZE 1)',
      '3 FETCH (UID 9)',
      '3 EXPUNGE',
      'OK [EXPUNGEISSUED] Done',
    ]);
  });
});
