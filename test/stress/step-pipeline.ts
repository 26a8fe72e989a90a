// Commands sent without waiting: in order, or beside a search where that cannot be told (RFC 9051 5.5).
import type { StressSession } from './session.js';

export async function pipeline(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined) return;
  const known = session.anyKnown(view);
  const set = known === undefined ? '1:*' : `${known.uid}:*`;
  const other = session.nameOf(session.any(session.options.ledgers));
  const commands = [
    `UID FETCH ${set} (FLAGS)`,
    'NOOP',
    'UID SEARCH UNSEEN',
    'UID SEARCH TEXT seven',
    `STATUS ${other} (MESSAGES UIDNEXT)`,
    'LIST "" *',
    'UID FETCH 1:* (UID FLAGS MODSEQ)',
    'CAPABILITY',
  ];
  const chosen = Array.from({ length: 2 + session.options.random(4) }, () => session.any(commands));
  const replies = await session.runAll(chosen);
  chosen.forEach((text, index) => {
    if (replies[index]?.startsWith('OK') !== true) session.fail(`${text}, pipelined: ${replies[index]}`);
  });
  const searches = chosen.filter((text) => text.startsWith('UID SEARCH')).length;
  const answers = session.lines.filter((line) => /^\* E?SEARCH\b/.test(line)).length;
  if (searches !== answers) session.fail(`${answers} replies to ${searches} searches`);
}
