import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MailboxLedger } from './ledger.js';
import { type Reply, type Scripted, scripted } from './scripted-session.js';
import { copy } from './step-expunge.js';

/** A client that knows UIDs 7, 9 and 11 sends COPY 2:3 INBOX. */
async function copySecondAndThird(
  reply: string | ((scripted: Scripted) => Reply),
  after: (ledger: MailboxLedger) => void = () => undefined,
): Promise<void> {
  // By number; one message of at most five; the second, two of them.
  const chance = [1, 0, 1, 1, 1, 0];
  await scripted(
    [7, 9, 11],
    (about) => [typeof reply === 'string' ? [reply] : reply(about)],
    (below) => Math.min(below - 1, chance.shift() ?? 0),
    async (session) => {
      await copy(session, 'COPY');
      for (const ledger of session.options.ledgers) after(ledger);
    },
  );
}

describe('The judgement on COPY', () => {
  it('is against UIDs that were not asked for, and new ones that were there', async () => {
    await copySecondAndThird('OK [COPYUID 1 9,11 12:13] Done');
    await assert.rejects(copySecondAndThird('OK [COPYUID 1 7,9 12:13] Done'), /COPYUID names UID 7, which was not asked for/);
    await assert.rejects(copySecondAndThird('OK [COPYUID 1 9,11 11:12] Done'), /UID 11 was given out twice/);
    await assert.rejects(copySecondAndThird('OK [COPYUID 1 9,11 12] Done'), /COPYUID of 2 and 1 messages/);
  });

  it('is against a copy of a part, and of none', async () => {
    await assert.rejects(copySecondAndThird('OK [COPYUID 1 11 12] Done'), /COPY left out UID 9/);
    await assert.rejects(copySecondAndThird('OK Done'), /COPY without COPYUID/);
    await copySecondAndThird('NO [EXPUNGEISSUED] Gone');
  });

  it('takes the numbers as they were when it was sent', async () => {
    await copySecondAndThird(({ ledger }) => [() => void ledger.beginExpunge('move', [7]), '1 EXPUNGE', 'OK [COPYUID 1 9,11 12:13] Done']);
  });

  it('knows no flag of the copy that was changed meanwhile, even when it was changed back', async () => {
    const change = ({ ledger }: Scripted): Reply => [
      () => {
        for (const value of [false, true]) ledger.endWrite(ledger.beginWrite(9, new Map([['\\Seen', value]])), 'yes');
      },
      'OK [COPYUID 1 9,11 12:13] Done',
    ];
    let judged = 0;
    await copySecondAndThird(change, (ledger) => {
      assert.deepEqual(
        [12, 13].map((uid) => ledger.certainFlag(ledger.facts(uid), '\\Seen')),
        [undefined, true],
      );
      judged += 1;
    });
    assert.equal(judged, 1);
  });
});
