import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exchanges, namesNumber, uidsIn } from './exchanges.js';
import { Clock, MailboxLedger } from './ledger.js';
import { ClientView } from './view.js';

const fail = (reason: string): never => {
  throw new Error(reason);
};

function viewOf(...uids: number[]): ClientView {
  const options = { isQresync: false, isUidOnly: false, shrinksAnytime: false };
  const view = new ClientView(new MailboxLedger('INBOX', new Clock(), fail), options, fail);
  view.exists(uids.length);
  uids.forEach((uid, index) => {
    if (uid > 0) view.fetch(index + 1, `(UID ${uid})`);
  });
  return view;
}

describe('What is kept of a session for the report of a failure', () => {
  it('is the mailbox as it was known when the command was sent', () => {
    const exchanges = new Exchanges();
    const view = viewOf(0, 0, 7, 8, 12);
    exchanges.begin('COPY 1:2 Two', view);
    exchanges.hear('* 3 EXPUNGE');
    view.expunge(3, { name: 'COPY', isUid: false });
    exchanges.hear('t1 OK [COPYUID 1 5:6 1:2] Done');
    assert.deepEqual(exchanges.report('COPYUID names UID 5, which was not asked for, and not UIDs 7:12').split('\n'), [
      'the command: COPY 1:2 Two',
      'the mailbox when it was sent: INBOX, 5 messages; 1:2 without UID, 3:4 UID 7:8, 5 UID 12; UID 5 not known; UID 7 is message 3; UID 12 is message 5',
      'the last 1 exchanges:',
      '> COPY 1:2 Two',
      '< * 3 EXPUNGE',
      '< t1 OK [COPYUID 1 5:6 1:2] Done',
    ]);
  });

  it('tells the ends of a mailbox with many gaps', () => {
    const exchanges = new Exchanges();
    exchanges.begin('NOOP', viewOf(...Array.from({ length: 100 }, (_, index) => 2 * index + 1)));
    const [, known = ''] = exchanges.report('').split('\n');
    assert.match(known, /100 messages; 1 UID 1, 2 UID 3,.* 24 UID 47, \(52 more runs\), 77 UID 153,.* 100 UID 199$/);
  });

  it('is the last twenty exchanges, of long ones both ends', () => {
    const exchanges = new Exchanges();
    for (let count = 1; count <= 25; count += 1) {
      exchanges.begin(`NOOP ${count}`, undefined);
      for (let line = 1; line <= 30; line += 1) exchanges.hear(`* line ${line} of ${count}`);
    }
    const lines = exchanges.report('').split('\n');
    assert.equal(lines[1], 'the mailbox when it was sent: none was selected');
    assert.deepEqual(
      lines.filter((line) => line.startsWith('> ')),
      Array.from({ length: 20 }, (_, index) => `> NOOP ${index + 6}`),
    );
    assert.deepEqual(lines.slice(-14), [
      '< * line 12 of 25',
      '  (6 more)',
      ...Array.from({ length: 12 }, (_, index) => `< * line ${index + 19} of 25`),
    ]);
    assert.equal(exchanges.tail(2), '< * line 29 of 25\n< * line 30 of 25');
  });

  it('is cut where a line is long', () => {
    const exchanges = new Exchanges();
    exchanges.begin('x'.repeat(300), undefined);
    assert.equal(exchanges.tail(1), `> ${'x'.repeat(240)}...`);
    // What a violation is found in is wanted whole.
    exchanges.hear('y'.repeat(300));
    assert.equal(exchanges.tail(1), `< ${'y'.repeat(300)}`);
    exchanges.begin('z', undefined);
    assert.equal(exchanges.tail(2), `< ${'y'.repeat(240)}...\n> z`);
  });

  it('is about the messages that the failure names, alone or in a range', () => {
    assert.deepEqual(uidsIn('UID 7 is gone, UIDs 9,11:12 are not, UID 0 is none, UID 7'), [7, 9, 11, 12]);
    assert.ok(namesNumber('< t1 OK [COPYUID 1795 5:8 20:23] Done', 7));
    assert.ok(namesNumber('> UID STORE 7 +FLAGS ()', 7));
    assert.ok(!namesNumber('< t7 OK [COPYUID 1795 5:6,8 70:73] Done', 7));
  });
});
