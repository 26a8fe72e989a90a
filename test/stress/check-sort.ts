// SORT, THREAD, parts of results, and saved results: the same messages as SEARCH finds, in an order that can be known.
import { messageOf } from './messages.js';
import { readSet } from './reply.js';
import type { StressSession } from './session.js';
import type { ClientView, KnownMessage } from './view.js';

const orders = ['SIZE', 'REVERSE SIZE', 'SUBJECT', 'ARRIVAL'] as const;

/** Every message that the client knew before and nobody can have expunged is in a result of ALL, nothing twice. */
function checkAll(session: StressSession, view: ClientView, what: string, known: readonly KnownMessage[], uids: readonly number[]): void {
  const found = new Set(uids);
  if (found.size !== uids.length) session.fail(`${what} names a message twice`);
  for (const message of known)
    if (message.uid > 0 && !found.has(message.uid) && !session.mayBeGone(view, message))
      session.fail(`${what} leaves out UID ${message.uid}`);
}

export async function checkSort(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || !session.capabilities.has('SORT')) return;
  await session.learnUids(view);
  const order = session.any(orders);
  const known = view.messages.filter(({ uid }) => uid > 0);
  const reply = await session.run(`UID SORT (${order}) UTF-8 ALL`);
  const line = session.lines.find((text) => text.startsWith('* SORT'));
  if (!reply.startsWith('OK') || line === undefined) return session.fail(`SORT: ${reply}`);
  const uids = line.split(' ').slice(2).map(Number);
  const before = new Set(known.map(({ uid }) => uid));
  checkAll(session, view, `SORT ${order}`, known, uids);
  const texts = uids.filter((uid) => before.has(uid)).map((uid) => [uid, view.ledger.facts(uid).token] as const);
  let last: readonly [number, number | string] | undefined;
  for (const [uid, token] of texts) {
    if (order === 'ARRIVAL' || token === undefined) continue;
    const key = order === 'SUBJECT' ? token.toUpperCase() : messageOf(token).length * (order === 'REVERSE SIZE' ? -1 : 1);
    // Equal ones stay in mailbox order.
    if (last !== undefined && (last[1] > key || (last[1] === key && last[0] > uid)))
      session.fail(`SORT ${order}: UID ${last[0]} before ${uid}`);
    last = [uid, key];
  }
}

export async function checkThread(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || !session.capabilities.has('THREAD=REFERENCES')) return;
  await session.learnUids(view);
  const known = view.messages.filter(({ uid }) => uid > 0);
  const how = session.any(['REFERENCES', 'ORDEREDSUBJECT'].filter((name) => session.capabilities.has(`THREAD=${name}`)));
  const reply = await session.run(`UID THREAD ${how} UTF-8 ALL`);
  const line = session.lines.find((text) => text.startsWith('* THREAD'));
  if (!reply.startsWith('OK') || line === undefined) return session.fail(`THREAD: ${reply}`);
  checkAll(session, view, `THREAD ${how}`, known, (line.match(/\d+/g) ?? []).map(Number));
}

/** RFC 9394 3.1. */
export async function checkPart(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || !session.capabilities.has('PARTIAL')) return;
  const first = 1 + session.options.random(10);
  const last = first + session.options.random(20);
  const sign = session.options.random(2) === 0 ? '' : '-';
  const asked = `${sign}${first}:${sign}${last}`;
  const reply = await session.run(`UID SEARCH RETURN (PARTIAL ${asked} COUNT) ALL`);
  if (!reply.startsWith('OK')) session.fail(`SEARCH RETURN (PARTIAL): ${reply}`);
  const line = session.lines.find((text) => text.startsWith('* ESEARCH')) ?? session.fail('no ESEARCH reply');
  const count = Number(/ COUNT (\d+)/.exec(line)?.[1] ?? session.fail(`${line} without COUNT`));
  const part = / PARTIAL \((\S+) (NIL|[\d:,]+)\)/.exec(line);
  if (part === null || part[1] !== asked) return session.fail(`${line} to PARTIAL ${asked}`);
  const uids = part[2] === 'NIL' ? [] : readSet(part[2] ?? '');
  const wanted = Math.max(0, Math.min(count, last) - first + 1);
  if (uids.length !== wanted) session.fail(`${line}: ${uids.length} numbers, ${wanted} of ${count} were asked for`);
  if (uids.some((uid, at) => at > 0 && uid <= (uids[at - 1] ?? 0))) session.fail(`${line}: not in order (RFC 9394 3.1)`);
}

/** RFC 5182: `$` is what was found, without what is gone. */
export async function checkSaved(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || !session.capabilities.has('SEARCHRES')) return;
  const key = session.any(['ALL', 'FLAGGED', 'UNSEEN', 'KEYWORD kw2']);
  await session.run(`UID SEARCH RETURN (SAVE ALL) ${key}`);
  const line = session.lines.find((text) => text.startsWith('* ESEARCH')) ?? session.fail('no ESEARCH reply');
  const all = / ALL ([\d:,]+)/.exec(line)?.[1];
  const saved = new Set(all === undefined ? [] : readSet(all));
  const reply = await session.run('UID FETCH $ (UID RFC822.SIZE)');
  const told = new Set(view.fetched.filter(({ items }) => items.has('RFC822.SIZE')).map(({ message }) => message.uid));
  for (const uid of told) if (!saved.has(uid)) session.fail(`$ has UID ${uid}, which ${key} did not find`);
  for (const uid of saved)
    if (!told.has(uid) && reply.startsWith('OK') && !view.ledger.mayBeGone(uid)) session.fail(`$ has lost UID ${uid} of ${key}`);
}
