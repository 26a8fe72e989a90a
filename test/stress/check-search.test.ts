import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSearch } from './check-search.js';
import { allFlags, Clock, MailboxLedger } from './ledger.js';
import { ClientView } from './view.js';

const command = { name: 'SEARCH', isUid: true };
const fail = (reason: string): never => {
  throw new Error(reason);
};

/** Somebody marks the message and expunges it. */
function expunge(view: ClientView): void {
  view.ledger.beginExpunge('move', [7])();
  view.expunge(1, command);
}

/** A client that knows UID 7, as \Seen unless told, sends UID SEARCH DELETED. @param told what it hears beside the result */
async function search(found: string, told: (view: ClientView) => void, { isAcknowledged = true, known = '\\Seen' } = {}): Promise<void> {
  const clock = new Clock();
  const ledger = new MailboxLedger('INBOX', clock, fail);
  const flags = new Map(allFlags.map((flag) => [flag, flag === known]));
  if (isAcknowledged) ledger.noteSaved(7, undefined, flags, [clock.tick(), clock.tick()], 1);
  const view = new ClientView(ledger, { isQresync: false, isUidOnly: false, shrinksAnytime: false }, fail);
  view.exists(1);
  view.fetch(1, `(UID 7 FLAGS (${known}))`);
  const choices = [4, 0, 1];
  const run = async (text: string): Promise<string> => {
    assert.equal(text, 'UID SEARCH DELETED');
    told(view);
    return 'OK';
  };
  await checkSearch({ run, fail, lines: [`* SEARCH${found}`] }, view, () => choices.shift() ?? 0);
}

describe('the judgement on SEARCH', () => {
  it('is against a message that has none of the flags asked for', async () => {
    await assert.rejects(
      search(' 7', () => undefined),
      /SEARCH DELETED found UID 7, whose flags were \(\\Seen\), now \(\\Seen\)/,
    );
  });

  it('knows nothing of the last flags of a message that is expunged with the reply', async () => {
    await search(' 7', expunge);
    await search('', expunge);
  });

  it('takes a message whose saving is still to be acknowledged as one that somebody may have expunged', async () => {
    const nothing = (): void => undefined;
    await search('', nothing, { isAcknowledged: false, known: '\\Deleted' });
    await assert.rejects(search('', nothing, { known: '\\Deleted' }), /did not find UID 7/);
  });

  it('takes a message for what it was told to be in between', async () => {
    await search(' 7', (view) => {
      view.fetch(1, '(FLAGS (\\Deleted))');
      view.fetch(1, '(FLAGS (\\Seen))');
    });
  });
});
