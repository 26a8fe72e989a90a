// Sessions of a server that works on so many messages in one command only (RFC 9738): the last ones, and it says where it stopped.
import type { MailboxLedger } from './ledger.js';
import { readSet } from './reply.js';
import type { StressSession } from './session.js';
import type { ClientView, KnownMessage } from './view.js';

/** Known before the command, and nobody can have expunged them. */
function certainOf(session: StressSession, view: ClientView): readonly KnownMessage[] {
  return view.messages.filter((message) => message.uid > 0 && !session.mayBeGone(view, message));
}

/** What a command over all messages was told to have covered, against what it covered. */
function judge(session: StressSession, what: string, lowest: number, certain: readonly KnownMessage[], covered: ReadonlySet<number>): void {
  const limit = session.profile.messageLimit ?? 0;
  if (covered.size > limit) session.fail(`${what} covered ${covered.size} messages, the limit is ${limit}`);
  for (const uid of covered) if (uid < lowest) session.fail(`${what} covered UID ${uid}, and said that it stopped at ${lowest}`);
  for (const message of certain)
    if (message.uid >= lowest && !covered.has(message.uid) && !session.mayBeGone(session.view ?? session.fail('no mailbox'), message))
      session.fail(`${what} left out UID ${message.uid}, and said that it stopped at ${lowest}`);
}

export async function limitedFetch(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined) return;
  let last = 0;
  for (let page = 0; page < 20; page++) {
    const certain = certainOf(session, view).filter(({ uid }) => last === 0 || uid < last);
    // A marker that no unsolicited reply has.
    const set = last === 0 ? '1:*' : `1:${last - 1}`;
    const reply = await session.run(`UID FETCH ${set} (UID FLAGS MODSEQ RFC822.SIZE)`);
    const lowest = session.limitedTo(reply);
    const told = view.fetched.filter(({ items }) => items.has('RFC822.SIZE')).map(({ message }) => message.uid);
    judge(session, `UID FETCH ${set}`, lowest, certain, new Set(told));
    if (lowest <= 1) return;
    if (last > 0 && lowest >= last) session.fail(`UID FETCH ${set} stopped at ${lowest}`);
    last = lowest;
  }
}

export async function limitedSearch(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined) return;
  const certain = certainOf(session, view);
  const how = session.any(['SEARCH ALL', 'SORT (ARRIVAL) UTF-8 ALL', 'SEARCH OR SEEN UNSEEN']);
  const reply = await session.run(`UID ${how}`);
  if (!reply.startsWith('OK')) session.fail(`${how}: ${reply}`);
  const line = session.lines.find((text) => /^\* (SEARCH|SORT)\b/.test(text)) ?? session.fail('no result');
  judge(session, how, session.limitedTo(reply), certain, new Set(line.split(' ').slice(2).map(Number)));
}

export async function limitedStore(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || session.isReadOnly) return;
  await session.learnUids(view);
  // Of those that were only announced the client could not say what became of them.
  const messages = view.messages.filter(({ uid }) => uid > 0);
  const last = messages.at(-1);
  if (last === undefined || view.messages.indexOf(last) !== messages.length - 1) return;
  const set = `1:${last.uid}`;
  const certain = certainOf(session, view);
  const isSet = session.options.random(2) === 0;
  const values = new Map([['kw1', isSet]]);
  const writes = session.beginWrites(view, messages, values);
  const reply = await session.run(`UID STORE ${set} ${isSet ? '+' : '-'}FLAGS (kw1)`);
  const lowest = session.limitedTo(reply);
  const told = new Set([...view.toldFlags].map(({ uid }) => uid));
  for (const write of writes) {
    const { uid, mayBeGone } = write.facts;
    const isSure = reply.startsWith('OK') && !mayBeGone;
    view.ledger.endWrite(write, uid < lowest ? 'no' : isSure ? 'yes' : 'maybe');
  }
  for (const message of certain)
    if (message.uid >= lowest && !told.has(message.uid) && !session.mayBeGone(view, message))
      session.fail(`UID STORE ${set} stopped at ${lowest} and told nothing of UID ${message.uid}`);
  if (
    messages.filter(({ uid }) => uid >= lowest && certain.some((message) => message.uid === uid)).length >
    (session.profile.messageLimit ?? 0)
  )
    session.fail(`UID STORE ${set} stopped at ${lowest}, which is more than the limit`);
}

/** More than may be copied in one command is not copied at all. */
export async function limitedCopy(session: StressSession): Promise<void> {
  const { view, profile } = session;
  if (view === undefined) return;
  await session.learnUids(view);
  const certain = certainOf(session, view);
  if (certain.length <= (profile.messageLimit ?? 0)) return limitedFetch(session);
  const target: MailboxLedger = session.any(session.options.ledgers);
  const reply = await session.run(`UID COPY ${certain.map(({ uid }) => uid).join(',')} ${session.nameOf(target)}`);
  const stillThere = certain.filter((message) => !session.mayBeGone(view, message)).length;
  if (stillThere > (profile.messageLimit ?? 0) && !/^NO \[MESSAGELIMIT /.test(reply))
    session.fail(`COPY of ${stillThere} messages: ${reply}`);
  const copied = /\[COPYUID \d+ [\d:,]+ ([\d:,]+)\]/.exec(reply)?.[1];
  if (copied !== undefined) session.fail(`COPY of ${certain.length} messages made ${readSet(copied).length}`);
}
