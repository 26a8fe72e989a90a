// EXPUNGE, COPY and MOVE.
import { allFlags } from './ledger.js';
import { readSet } from './reply.js';
import type { StressSession } from './session.js';
import type { KnownMessage } from './view.js';

export async function expunge(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || session.isReadOnly) return void (await session.run('NOOP'));
  if (session.usesUids) await session.learnUids(view);
  const some = session.anyKnown(view) !== undefined && session.options.random(3) === 0 ? session.some(view) : undefined;
  const uids = some?.uid === 'UID ' ? some.messages.map(({ uid }) => uid) : undefined;
  const due = view.messages.filter(
    (message) =>
      message.uid > 0 &&
      (uids === undefined || uids.includes(message.uid)) &&
      message.flags?.includes('\\Deleted') === true &&
      view.ledger.certainFlag(view.ledger.facts(message.uid), '\\Deleted') === true,
  );
  const end = view.ledger.beginExpunge('deleted', uids);
  const reply = await session.run(uids === undefined ? 'EXPUNGE' : `UID EXPUNGE ${some?.set}`);
  if (!reply.startsWith('OK')) session.fail(`EXPUNGE: ${reply}`);
  for (const message of due)
    if (view.messages.includes(message) && view.ledger.certainFlag(view.ledger.facts(message.uid), '\\Deleted') === true)
      session.fail(`EXPUNGE left UID ${message.uid}`);
  end();
}

export async function copy(session: StressSession, verb: 'COPY' | 'MOVE'): Promise<void> {
  const { view } = session;
  if (view === undefined || (verb === 'MOVE' && session.isReadOnly)) return;
  await session.learnUids(view);
  if (!view.messages.some(({ uid }) => uid > 0)) return;
  const { uid, set, messages } = session.some(view, true);
  const target = session.any(session.options.ledgers);
  const floor = target.uidNext;
  const certain = (message: KnownMessage): Map<string, boolean | undefined> =>
    new Map(allFlags.map((flag) => [flag, view.ledger.certainFlag(view.ledger.facts(message.uid), flag)]));
  const before = new Map(messages.map((message) => [message.uid, certain(message)]));
  const start = target.clock.tick();
  const end =
    verb === 'MOVE'
      ? view.ledger.beginExpunge(
          'move',
          messages.map((message) => message.uid),
        )
      : () => undefined;
  const reply = await session.run(`${uid}${verb} ${set} ${session.nameOf(target)}`);
  end();
  const finish = target.clock.tick();
  const code = /\[COPYUID (\d+) ([\d:,]+) ([\d:,]+)\]/.exec(
    verb === 'MOVE' ? (session.lines.find((line) => line.includes('[COPYUID')) ?? '') : reply,
  );
  if (code === null) {
    if (reply.startsWith('OK') && messages.some((message) => !session.mayBeGone(view, message)))
      session.fail(`${verb} without COPYUID: ${reply}`);
    return;
  }
  target.noteUidValidity(Number(code[1]));
  const [from, to] = [readSet(code[2] ?? ''), readSet(code[3] ?? '')];
  if (from.length !== to.length) session.fail(`COPYUID of ${from.length} and ${to.length} messages`);
  from.forEach((source, index) => {
    const known = before.get(source);
    if (known === undefined) session.fail(`COPYUID names UID ${source}, which was not asked for`);
    const facts = view.ledger.facts(source);
    // Changed, or changed and changed back, while it was copied: the copy may have either.
    const isSame = (flag: string, value: boolean | undefined): boolean =>
      value !== undefined && !view.ledger.wasWritten(facts, flag, !value, start);
    const flags = new Map([...known].map(([flag, value]) => [flag, isSame(flag, value) ? value : undefined]));
    target.noteSaved(to[index] ?? 0, facts.token, flags, [start, finish], floor);
    if (verb === 'MOVE') view.ledger.noteGone(source, 'MOVE');
  });
  for (const message of messages)
    if (!from.includes(message.uid) && !session.mayBeGone(view, message)) session.fail(`${verb} left out UID ${message.uid}`);
  session.noteHighest(target, Math.max(...to) + 1, 0);
}
