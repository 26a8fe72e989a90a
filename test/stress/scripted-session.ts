// A session of the stress client whose server says what a test has written down: a judge is judged by replies that are right or wrong.
import assert from 'node:assert/strict';
import { LineClient } from '../support/line-client.js';
import { streamPair } from '../support/stream-pair.js';
import { allFlags, Clock, MailboxLedger } from './ledger.js';
import { StressSession } from './session.js';
import { ClientView } from './view.js';

const capabilities = 'IMAP4rev1 UIDPLUS MOVE CONDSTORE SEARCHRES ESEARCH PARTIAL';

export interface Scripted {
  readonly session: StressSession;
  readonly view: ClientView;
  readonly ledger: MailboxLedger;
}

/** One reply to one command: the lines without tag and, last, the tagged one. A function is called first: what others do meanwhile. */
export type Reply = readonly (string | (() => void))[];

/**
 * Runs work with INBOX selected, in which these messages are known.
 * @param uids 0 where the client was not told; the others were saved before, with \Seen
 * @param replies to the commands of the work, in order; they have to be used up
 * @param random what the session takes for chance
 * @throws Error what the checker complains of
 */
export async function scripted(
  uids: readonly number[],
  replies: (scripted: Scripted) => readonly Reply[],
  random: (below: number) => number,
  work: (session: StressSession) => Promise<unknown>,
): Promise<void> {
  const fail = (reason: string): never => {
    throw new Error(reason);
  };
  const clock = new Clock();
  const ledger = new MailboxLedger('INBOX', clock, fail);
  const [near, far] = streamPair();
  const session = new StressSession(new LineClient(near), {
    name: 's1',
    random,
    ledgers: [ledger],
    index: 1_050,
    user: 'alice',
    sharedAs: undefined,
    urlHost: undefined,
    isStrict: true,
    trace: undefined,
    only: undefined,
    fail,
  });
  session.capabilities = new Set(capabilities.split(' '));
  const view = new ClientView(ledger, { isQresync: false, isUidOnly: false, shrinksAnytime: false }, fail);
  session.view = view;
  view.exists(uids.length);
  const flags = new Map(allFlags.map((flag) => [flag, flag === '\\Seen']));
  uids.forEach((uid, index) => {
    if (uid === 0) return;
    ledger.noteSaved(uid, undefined, flags, [clock.tick(), clock.tick()], 1);
    view.fetch(index + 1, `(UID ${uid} FLAGS (\\Seen))`);
  });
  const left = [...replies({ session, view, ledger })];
  far.on('data', (octets: Buffer) => {
    const [tag = ''] = octets.toString('latin1').split(' ', 1);
    const lines = left.shift() ?? [`NO nothing is written for ${octets.toString('latin1').trim()}`];
    lines.forEach((line, index) => {
      if (typeof line === 'function') line();
      else far.write(`${index === lines.length - 1 ? tag : '*'} ${line.replaceAll('$tag', tag)}\r\n`);
    });
  });
  try {
    await work(session);
  } finally {
    near.destroy();
  }
  assert.equal(left.length, 0, 'commands that were expected');
}
