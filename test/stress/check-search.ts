// SEARCH answers against what the client was told (RFC 9051 6.4.4, RFC 4731).
import { normalFlags, readSet } from './reply.js';
import type { ClientView, KnownMessage } from './view.js';

export const flagKeys: Readonly<Record<string, readonly [string, boolean]>> = {
  SEEN: ['\\Seen', true],
  UNSEEN: ['\\Seen', false],
  DELETED: ['\\Deleted', true],
  UNFLAGGED: ['\\Flagged', false],
  'KEYWORD kw1': ['kw1', true],
  'UNKEYWORD $Forwarded': ['$Forwarded', false],
};

/** What is needed of a session. */
interface Searcher {
  run(text: string): Promise<string>;
  fail(reason: string): never;
  /** Untagged lines of the last command. */
  readonly lines: readonly string[];
}

/** @param byUid never by sequence number */
export async function checkSearch(session: Searcher, view: ClientView, random: (below: number) => number, byUid = false): Promise<void> {
  const keys = ['ALL', 'OR SEEN UNSEEN', ...Object.keys(flagKeys)];
  const key = keys[random(keys.length)] ?? 'ALL';
  const uid = random(2) === 0 || byUid ? 'UID ' : '';
  const before = view.messages.map((message) => ({ message, flags: message.flags, wasKnown: message.uid > 0 }));
  const isExtended = random(2) === 0;
  const start = view.ledger.clock.tick();
  let found: number[] = [];
  const lines: string[] = [];
  const reply = await session.run(`${uid}SEARCH ${isExtended ? 'RETURN (MIN MAX COUNT ALL) ' : ''}${key}`);
  lines.push(...session.lines);
  if (!reply.startsWith('OK')) session.fail(`SEARCH: ${reply}`);
  if (isExtended) found = readExtended(session, lines, uid !== '');
  else {
    const line = lines.find((text) => text.startsWith('* SEARCH')) ?? session.fail('no SEARCH reply');
    found = line.split(' ').slice(2).map(Number);
  }
  if (found.some((number, at) => at > 0 && number <= (found[at - 1] ?? 0))) session.fail(`SEARCH found ${found.join(' ')}: not ascending`);
  // Expunges told in UID SEARCH may come before or after the reply: sequence numbers are judged only when there were none.
  const messages = before.map(({ message }) => message);
  const hits = new Set<KnownMessage>();
  for (const number of found) {
    const message = uid === '' ? messages[number - 1] : messages.find((known) => known.uid === number);
    if (message !== undefined) hits.add(message);
    else if (uid === '' && number > view.messages.length) session.fail(`SEARCH found ${number} of ${view.messages.length}`);
  }
  for (const { message, flags, wasKnown } of before) {
    // Without sequence numbers a client cannot say which message it was that had been announced.
    if (uid !== '' && (message.uid === 0 || (byUid && !wasKnown))) continue;
    // Gone before the command was over: what had changed in it until then, SEARCH could see and nobody tells any more.
    if (view.gone.has(message.uid)) continue;
    const mayBeGone = message.uid === 0 || view.ledger.mayBeGone(message.uid);
    const isHit = hits.has(message);
    const wanted = expected(key, flags, message.flags);
    if (wanted === undefined || isHit === wanted || (mayBeGone && !isHit)) continue;
    // Told in between: it was changed before the command, of which the client has heard only now, and changed again.
    if (flagsTold(view, message).some((told) => expected(key, told, told) === isHit)) continue;
    // Changed and changed back while SEARCH looked at it.
    const [flag, isSet] = flagKeys[key] ?? ['', true];
    if (flag !== '' && view.ledger.wasWritten(view.ledger.facts(message.uid), flag, isHit === isSet, start)) continue;
    session.fail(
      `SEARCH ${key} ${isHit ? 'found' : 'did not find'} UID ${message.uid}, whose flags were (${flags}), now (${message.flags})`,
    );
  }
}

/** Flags of a message in the replies to the last command, in order. */
function flagsTold({ fetched }: ClientView, message: KnownMessage): readonly string[] {
  return fetched.flatMap(({ message: about, items }) => {
    const flags = about === message ? items.get('FLAGS') : undefined;
    return flags === undefined ? [] : [normalFlags(flags)];
  });
}

/** undefined where the client cannot tell. */
function expected(key: string, before: string | undefined, after: string | undefined): boolean | undefined {
  const rule = flagKeys[key];
  if (rule === undefined) return true;
  if (before === undefined || after === undefined) return undefined;
  const [flag, isSet] = rule;
  const [first, last] = [before.split(' ').includes(flag) === isSet, after.split(' ').includes(flag) === isSet];
  return first === last ? first : undefined;
}

function readExtended(session: Searcher, lines: readonly string[], isUid: boolean): number[] {
  const line = lines.find((text) => text.startsWith('* ESEARCH')) ?? session.fail('no ESEARCH reply');
  if (/ UID\b/.test(line) !== isUid) session.fail(`${line}: UID indicator`);
  const all = / ALL ([\d:,]+)/.exec(line)?.[1];
  const found = all === undefined ? [] : readSet(all).sort((a, b) => a - b);
  const number = (name: string): number | undefined => {
    const text = new RegExp(` ${name} (\\d+)`).exec(line)?.[1];
    return text === undefined ? undefined : Number(text);
  };
  if (number('COUNT') !== found.length || number('MIN') !== found[0] || number('MAX') !== found.at(-1))
    session.fail(`${line}: the parts disagree`);
  return found;
}
