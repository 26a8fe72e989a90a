// Messages put together from others (RFC 4469), and addresses of messages that others follow (RFC 4467).
import type { MailboxLedger, MessageFacts } from './ledger.js';
import { isPlain, messageOf, piecesOf, textOf } from './messages.js';
import type { StressSession } from './session.js';
import { noteSaved, readSaved } from './step-append.js';

interface Source {
  readonly ledger: MailboxLedger;
  readonly facts: MessageFacts;
  readonly token: string;
}

/** A message that somebody has saved, in any mailbox. It may be gone. */
function anySource(session: StressSession): Source | undefined {
  const ledger = session.any(session.options.ledgers);
  const uids = [...ledger.messages.keys()];
  // The latest ones are mostly still there.
  const latest = uids.slice(-60);
  if (latest.length === 0) return undefined;
  const facts = ledger.facts(session.any(latest));
  const { token } = facts;
  if (token === undefined || !isPlain(token) || !facts.isAcknowledged || ledger.uidValidity === undefined) return undefined;
  return { ledger, facts, token };
}

function pathOf(session: StressSession, { ledger, facts }: Source): string {
  return `/${session.nameOf(ledger)};UIDVALIDITY=${ledger.uidValidity}/;UID=${facts.uid}`;
}

export async function catenate(session: StressSession): Promise<void> {
  const source = session.capabilities.has('CATENATE') ? anySource(session) : undefined;
  if (source === undefined) return void (await session.run('NOOP'));
  session.made += 1;
  const token = `${session.name}-${session.made}+${session.any(['t', 'w'])}${source.token}`;
  const flags = session.randomFlags();
  const path = pathOf(session, source);
  const parts = piecesOf(token).map((piece) =>
    'text' in piece
      ? `TEXT {${piece.text.length}+}\r\n${piece.text}`
      : `URL "${path}${piece.section === undefined ? '' : `/;SECTION=${piece.section}`}"`,
  );
  const target = session.any(session.options.ledgers);
  const floor = target.uidNext;
  const wasSafe = !source.facts.mayBeGone;
  const start = target.clock.tick();
  const head = `APPEND ${session.nameOf(target)} (${flags.join(' ')}) CATENATE`;
  const reply = await session.run(`${head} (${parts.join(' ')})`, `${head} ${token} from ${path}`);
  const end = target.clock.tick();
  if (/^NO \[BADURL /.test(reply)) {
    if (wasSafe && !source.facts.mayBeGone) session.fail(`CATENATE: ${reply}, and nobody can have expunged it`);
    return;
  }
  const [uid = 0] = readSaved(session, target, reply, 1);
  noteSaved(target, uid, { token, text: messageOf(token), flags }, [start, end], floor);
}

/** The address of a message is made, and somebody follows it, who is given the message or, when it is gone, nothing. */
export async function urlAuth(session: StressSession): Promise<void> {
  const { urlHost, user } = session.options;
  const source = session.capabilities.has('URLAUTH') && urlHost !== undefined ? anySource(session) : undefined;
  if (source === undefined || urlHost === undefined) return void (await session.run('NOOP'));
  const isText = session.options.random(2) === 0;
  const rump = `imap://${user}@${urlHost}${pathOf(session, source)}${isText ? '/;SECTION=TEXT' : ''};URLAUTH=user+${user}`;
  const wasSafe = !source.facts.mayBeGone;
  const made = await session.run(`GENURLAUTH "${rump}" INTERNAL`);
  if (!made.startsWith('OK')) session.fail(`GENURLAUTH: ${made}`);
  const url = /^\* GENURLAUTH "?([^" ]+)"?$/.exec(session.line('* GENURLAUTH '))?.[1] ?? session.fail('no URL');
  if (!url.startsWith(`${rump}:INTERNAL:`)) session.fail(`GENURLAUTH made ${url} of ${rump}`);
  const forged = session.options.random(4) === 0;
  const asked = forged ? url.replace(/.$/, (last) => (last === '0' ? '1' : '0')) : url;
  const reply = await session.run(`URLFETCH "${asked}"`);
  if (!reply.startsWith('OK')) session.fail(`URLFETCH: ${reply}`);
  const answer = session.line('* URLFETCH ').slice('* URLFETCH '.length);
  const content = answer.slice(answer.indexOf(' ') + 1);
  if (content === 'NIL') {
    if (!forged && wasSafe && !source.facts.mayBeGone) session.fail(`URLFETCH ${asked}: NIL, and nobody can have expunged it`);
    return;
  }
  const message = messageOf(source.token);
  const wanted = isText ? textOf(message) : message;
  if (forged) session.fail(`URLFETCH followed a forged address: ${asked}`);
  if (content.replace(/^~?\{\d+\}\r\n/, '') !== wanted) session.fail(`URLFETCH ${asked} is not ${source.token}: ${content.slice(0, 200)}`);
}
