// Saving messages, and what their UIDs must be.
import { allFlags, type MailboxLedger } from './ledger.js';
import { isBinary, messageOf } from './messages.js';
import { readSet } from './reply.js';
import type { StressSession } from './session.js';

export interface NewMessage {
  readonly token: string;
  readonly text: string;
  readonly flags: readonly string[];
}

function newMessage(session: StressSession): NewMessage {
  session.made += 1;
  const hasNul = session.capabilities.has('BINARY') && session.options.random(6) === 0;
  const token = `${hasNul ? 'z-' : ''}${session.name}-${session.made}`;
  return { token, text: messageOf(token), flags: session.randomFlags() };
}

/** A NUL goes into a literal8 only (RFC 3516 4.4). */
const onTheWire = ({ token, text, flags }: NewMessage): string =>
  ` (${flags.join(' ')}) ${isBinary(token) ? '~' : ''}{${text.length}+}\r\n${text}`;
const forTheLog = ({ token, flags }: NewMessage): string => `${token} (${flags.join(' ')})`;

export function noteSaved(
  ledger: MailboxLedger,
  uid: number,
  { token, flags }: NewMessage,
  times: readonly [number, number],
  floor: number,
): void {
  ledger.noteSaved(uid, token, new Map(allFlags.map((flag) => [flag, flags.includes(flag)])), times, floor);
}

export async function append(session: StressSession): Promise<void> {
  const { random, ledgers } = session.options;
  const ledger = session.any(ledgers);
  const count = random(6) === 0 ? 2 + random(3) : 1;
  const all = Array.from({ length: count }, () => newMessage(session));
  const floor = ledger.uidNext;
  const start = ledger.clock.tick();
  const reply = await session.run(
    `APPEND ${session.nameOf(ledger)}${all.map(onTheWire).join('')}`,
    `APPEND ${ledger.name} ${all.map(forTheLog).join(', ')}`,
  );
  const end = ledger.clock.tick();
  const uids = readSaved(session, ledger, reply, count);
  for (const [index, message] of all.entries()) noteSaved(ledger, uids[index] ?? 0, message, [start, end], floor);
}

/** The UIDs of saved messages, by the reply to APPEND. */
export function readSaved(session: StressSession, ledger: MailboxLedger, reply: string, count: number): readonly number[] {
  const code = /^OK \[APPENDUID (\d+) ([\d:,]+)\]/.exec(reply);
  if (code === null) session.fail(`APPEND: ${reply}`);
  ledger.noteUidValidity(Number(code[1]));
  const uids = readSet(code[2] ?? '');
  if (uids.length !== count) session.fail(`APPENDUID names ${uids.length} of ${count} messages`);
  session.noteHighest(ledger, Math.max(...uids) + 1, 0);
  return uids;
}

/** RFC 8508: a new message and the end of an old one, in one. */
export async function replace(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || session.isReadOnly || !session.capabilities.has('REPLACE')) return append(session);
  await session.learnUids(view);
  const old = session.anyKnown(view);
  if (old === undefined) return append(session);
  const ledger = session.any(session.options.ledgers);
  const message = newMessage(session);
  const floor = ledger.uidNext;
  const start = ledger.clock.tick();
  const target = session.usesUids ? `UID REPLACE ${old.uid}` : `REPLACE ${view.messages.indexOf(old) + 1}`;
  const wasThere = !session.mayBeGone(view, old);
  const end = view.ledger.beginExpunge('move', [old.uid]);
  const reply = await session.run(
    `${target} ${session.nameOf(ledger)}${onTheWire(message)}`,
    `${target} ${ledger.name} ${forTheLog(message)} for UID ${old.uid}`,
  );
  end();
  const finish = ledger.clock.tick();
  const code = session.lines.map((line) => /^\* OK \[APPENDUID (\d+) (\d+)\]/.exec(line)).find((match) => match !== null);
  if (!reply.startsWith('OK')) {
    // 3.2: only when somebody else was faster, and this client was not told or only just.
    if (!/^NO \[(EXPUNGEISSUED|NONEXISTENT)\]/.test(reply) || code !== undefined) session.fail(`${target}: ${reply}`);
    view.ledger.noteGone(old.uid, `${reply} to REPLACE${wasThere ? '' : ', perhaps gone before'}`);
    return;
  }
  if (code === undefined) return session.fail(`${target} without APPENDUID`);
  if (view.messages.includes(old)) session.fail(`${target} left UID ${old.uid} in the mailbox`);
  ledger.noteUidValidity(Number(code[1]));
  noteSaved(ledger, Number(code[2]), message, [start, finish], floor);
  session.noteHighest(ledger, Number(code[2]) + 1, 0);
}
