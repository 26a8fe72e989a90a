// FETCH: texts are what was saved, and nothing that changed is left out.
import { messageOf, textOf } from './messages.js';
import type { StressSession } from './session.js';

export async function fetchFlags(session: StressSession): Promise<void> {
  if (session.view === undefined) return;
  const { uid, set } = session.some(session.view);
  const { random } = session.options;
  const items = session.any([
    '(UID FLAGS)',
    '(UID FLAGS MODSEQ)',
    '(FLAGS)',
    '(UID INTERNALDATE FLAGS)',
    '(UID ENVELOPE)',
    '(UID BODYSTRUCTURE)',
  ]);
  const more = ['EMAILID THREADID', 'SAVEDATE', 'PREVIEW'].filter((names) => names.split(' ').every((name) => hasItem(session, name)));
  const extra = random(3) === 0 && more.length > 0 ? ` ${session.any(more)}` : '';
  await session.run(`${uid}FETCH ${set} ${items.slice(0, -1)}${extra})`);
}

export async function fetchText(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined) return;
  await session.learnUids(view);
  if (!view.messages.some(({ uid }) => uid > 0)) return;
  const { uid, set, messages } = session.some(view, true);
  const part = session.any([
    'RFC822.SIZE BODY.PEEK[HEADER]',
    'BODY.PEEK[]',
    'BODY.PEEK[HEADER.FIELDS (SUBJECT)]',
    'BODY[TEXT]',
    'BODY.PEEK[TEXT]',
    'RFC822.SIZE',
  ]);
  const marksSeen = part === 'BODY[TEXT]' && !session.isReadOnly;
  const writes = marksSeen ? session.beginWrites(view, messages, new Map([['\\Seen', true]])) : [];
  await session.run(
    `${uid}FETCH ${set} (UID ${part} BODY.PEEK[HEADER.FIELDS (SUBJECT)]<0.60>)`.replace(
      part.startsWith('BODY.PEEK[HEADER.F') ? ' BODY.PEEK[HEADER.FIELDS (SUBJECT)]<0.60>' : '\0',
      '',
    ),
  );
  const told = new Set(view.fetched.filter(({ items }) => items.has('BODY[TEXT]')).map(({ message }) => message.uid));
  for (const write of writes) view.ledger.endWrite(write, told.has(write.facts.uid) ? 'yes' : 'maybe');
  for (const { message, items } of view.fetched) {
    const subject = [...items].find(([name]) => name.startsWith('BODY[HEADER.FIELDS'))?.[1] ?? items.get('BODY[HEADER]');
    const token = /^Subject: (\S+)\r\n/m.exec(String(subject ?? ''))?.[1];
    if (token !== undefined && message.uid > 0) view.ledger.noteToken(message.uid, token);
    const known = message.uid > 0 ? view.ledger.facts(message.uid).token : undefined;
    if (known !== undefined) checkText(session, message.uid, messageOf(known), items);
  }
}

function checkText(session: StressSession, uid: number, text: string, items: ReadonlyMap<string, unknown>): void {
  const head = text.slice(0, text.indexOf('\r\n\r\n') + 4);
  for (const [name, expected] of [
    ['BODY[]', text],
    ['BODY[TEXT]', textOf(text)],
    ['BODY[HEADER]', head],
    ['RFC822.SIZE', String(text.length)],
  ] as const) {
    const value = items.get(name);
    if (value !== undefined && value !== expected)
      session.fail(`${name} of UID ${uid} is not what was saved: ${String(value).slice(0, 200)}`);
  }
}

export async function fetchChanged(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined) return;
  const floor = Math.max(1, session.any(view.messages).modSeq - session.options.random(3));
  const expected = view.messages.filter(({ modSeq }) => modSeq > floor);
  const vanished = session.profile.isQresync && session.options.random(2) === 0 ? ' VANISHED' : '';
  const reply = await session.run(`UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE ${floor}${vanished})`);
  const told = new Set(view.fetched.map(({ message }) => message));
  for (const { message, items } of view.fetched)
    if (!items.has('MODSEQ')) session.fail(`FETCH CHANGEDSINCE of UID ${message.uid} without MODSEQ`);
  if (reply.startsWith('OK'))
    for (const message of expected)
      if (view.messages.includes(message) && !told.has(message))
        session.fail(`CHANGEDSINCE ${floor} leaves out modseq ${message.modSeq} (UID ${message.uid})`);
}

function hasItem({ capabilities }: StressSession, name: string): boolean {
  return capabilities.has(name === 'EMAILID' || name === 'THREADID' ? 'OBJECTID' : name);
}

/** RFC 9394: the newest of a set, and no more than were asked for. */
export async function fetchPart(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || !session.capabilities.has('PARTIAL')) return;
  const count = 1 + session.options.random(20);
  // A message that was only announced may turn out to be a later one where there are no sequence numbers.
  const known = view.messages.filter(({ uid }) => uid > 0);
  // A marker that no unsolicited reply has.
  const reply = await session.run(`UID FETCH 1:* (RFC822.SIZE) (PARTIAL -1:-${count})`);
  if (!reply.startsWith('OK')) session.fail(`FETCH PARTIAL: ${reply}`);
  const told = new Set(view.fetched.filter(({ items }) => items.has('RFC822.SIZE')).map(({ message }) => message.uid));
  if (told.size > count) session.fail(`FETCH PARTIAL of ${count} messages gave ${told.size}`);
  const first = Math.min(...told);
  for (const message of known)
    if (message.uid > first && !told.has(message.uid) && !session.mayBeGone(view, message))
      session.fail(`FETCH PARTIAL of the last ${count} leaves out UID ${message.uid}, but not ${first}`);
  // What is left out is left out because enough is above it: messages, and ghosts whose end this client was not told of yet.
  const below = Math.max(0, ...known.map(({ uid }) => (told.has(uid) || view.ledger.mayBeGone(uid) ? 0 : uid)));
  const ghosts = [...view.ledger.messages.values()].filter(({ uid }) => uid > below && !told.has(uid) && view.ledger.mayBeGone(uid)).length;
  if (below > 0 && told.size + ghosts < count)
    session.fail(`FETCH PARTIAL of the last ${count} gave ${told.size}, with ${ghosts} that may be gone, and not UID ${below}`);
}
