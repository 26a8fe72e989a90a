import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ChoiceOptions, chooseMessages } from './choose-messages.js';
import { Clock, MailboxLedger } from './ledger.js';
import { seededRandom } from './random.js';
import { readSet } from './reply.js';
import { ClientView } from './view.js';

const fail = (reason: string): never => {
  throw new Error(reason);
};

/** @param uids of all messages, 0 where the client was not told */
function viewOf(uids: readonly number[]): ClientView {
  const view = new ClientView(
    new MailboxLedger('INBOX', new Clock(), fail),
    { isQresync: false, isUidOnly: false, shrinksAnytime: false },
    fail,
  );
  view.exists(uids.length);
  uids.forEach((uid, index) => {
    if (uid > 0) view.fetch(index + 1, `(UID ${uid})`);
  });
  return view;
}

/** Chooses often, with the same seed. @returns each set that was chosen, with `UID ` where it is one of UIDs */
function choices(uids: readonly number[], options: Pick<ChoiceOptions, 'usesUids' | 'onlyKnown'>): readonly string[] {
  const view = viewOf(uids);
  const random = seededRandom(5);
  const sets = new Set<string>();
  for (let count = 0; count < 500; count += 1) {
    const { uid, set, messages } = chooseMessages(view, { random, ...options });
    const named =
      set === '1:*' ? view.messages : readSet(set).map((number) => view.messages[uid === '' ? number - 1 : uids.indexOf(number)]);
    assert.deepEqual(messages, named, `${uid}${set}`);
    sets.add(uid + set);
  }
  return [...sets].sort();
}

describe('The messages a command is about', () => {
  it('are known ones where its effect has to be accounted for, wherever the others stand', () => {
    assert.deepEqual(choices([0, 0, 7], { usesUids: false, onlyKnown: true }), ['3:3', 'UID 7']);
    assert.deepEqual(choices([7, 0, 0], { usesUids: false, onlyKnown: true }), ['1:1', 'UID 7']);
    assert.deepEqual(
      choices([0, 5, 7, 0, 9], { usesUids: false, onlyKnown: true }),
      ['2:2', '2:3', '3:3', '5:5', 'UID 5,7,9', 'UID 5,7', 'UID 5', 'UID 7,9', 'UID 7', 'UID 9'].sort(),
    );
  });

  it('are also others where it only reads', () => {
    const sets = choices([0, 7], { usesUids: false, onlyKnown: false });
    assert.deepEqual(sets, ['1:1', '1:2', '2:2', 'UID 7']);
  });

  it('are named by UID only where numbers mean nothing', () => {
    assert.deepEqual(choices([5, 0, 7], { usesUids: true, onlyKnown: true }), ['UID 5', 'UID 5,7', 'UID 7']);
    assert.deepEqual(choices([0, 0], { usesUids: true, onlyKnown: false }), ['UID 1:*']);
  });
});
