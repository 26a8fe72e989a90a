// STORE: what it promises holds until somebody else writes.
import { allFlags } from './ledger.js';
import { readSet } from './reply.js';
import type { StressSession } from './session.js';
import type { ClientView } from './view.js';

export async function store(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || session.isReadOnly) return void (await session.run('NOOP'));
  // What is written without knowing the UID cannot be accounted for.
  await session.learnUids(view);
  if (!view.messages.some(({ uid }) => uid > 0)) return;
  const { random } = session.options;
  const { uid, set, messages } = session.some(view, true);
  const sign = session.any(['+', '-', '']);
  const flags = session.randomFlags();
  const silent = random(2) === 0 ? '.SILENT' : '';
  const since = random(4) === 0 ? Math.max(1, session.any(messages).modSeq) : undefined;
  const values = new Map(
    allFlags.filter((flag) => sign === '' || flags.includes(flag)).map((flag) => [flag, sign !== '-' && flags.includes(flag)]),
  );
  const tooNew = since === undefined ? [] : messages.filter(({ uid: known }) => view.ledger.facts(known).highestModSeq > since);
  const writes = session.beginWrites(view, messages, values);
  const before = new Map(messages.map((message) => [message, message.flags]));
  const reply = await session.run(
    `${uid}STORE ${set} ${since === undefined ? '' : `(UNCHANGEDSINCE ${since}) `}${sign}FLAGS${silent} (${flags.join(' ')})`,
  );
  const modified = new Set(readModified(reply, uid !== '', view));
  for (const message of tooNew)
    if (reply.startsWith('OK') && !modified.has(message.uid) && view.messages.includes(message) && !session.mayBeGone(view, message))
      session.fail(`STORE UNCHANGEDSINCE ${since} took UID ${message.uid}, which had a later modseq`);
  for (const write of writes) {
    const isGone = write.facts.mayBeGone || modified.has(write.facts.uid) || !reply.startsWith('OK');
    view.ledger.endWrite(write, modified.has(write.facts.uid) ? 'no' : isGone ? 'maybe' : 'yes');
  }
  for (const [message, earlier] of before) {
    // What is told at once (RFC 5465 6.1, 6.2: SELECTED-DELAYED holds back expunges only) may be older or newer than this change: the client asks again.
    if (session.profile.notify !== undefined && view.toldFlags.has(message)) message.flags = undefined;
    if (view.toldFlags.has(message) || modified.has(message.uid)) continue;
    // Without a reply a client takes its own change as done.
    message.flags =
      reply.startsWith('OK') && earlier !== undefined && !session.mayBeGone(view, message) ? changed(earlier, values) : undefined;
    if (
      session.options.isStrict &&
      silent === '' &&
      reply.startsWith('OK') &&
      !session.mayBeGone(view, message) &&
      view.messages.includes(message)
    )
      session.fail(`STORE without FETCH for UID ${message.uid}`);
  }
}

function readModified(reply: string, isUid: boolean, view: ClientView): number[] {
  const code = /\[MODIFIED ([\d:,]+)\]/.exec(reply)?.[1];
  if (code === undefined) return [];
  const numbers = readSet(code);
  return isUid ? numbers : numbers.map((seq) => view.messages[seq - 1]?.uid ?? 0);
}

function changed(flags: string, values: ReadonlyMap<string, boolean>): string {
  const set = new Set(flags.split(' ').filter((flag) => flag !== ''));
  for (const [flag, value] of values)
    if (value) set.add(flag);
    else set.delete(flag);
  return [...set].sort().join(' ');
}
