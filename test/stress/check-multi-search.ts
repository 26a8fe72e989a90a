// ESEARCH over mailboxes that are not selected (RFC 7377), against what all sessions together know.
import { flagKeys } from './check-search.js';
import type { MailboxLedger, MessageFacts } from './ledger.js';
import { readSet } from './reply.js';
import type { StressSession } from './session.js';

/** What the flag of a message was, where that is certain. */
type Certain = ReadonlyMap<MessageFacts, boolean>;

function certain(ledger: MailboxLedger, flag: string): Certain {
  const known = new Map<MessageFacts, boolean>();
  for (const facts of ledger.messages.values()) {
    if (!facts.isAcknowledged || facts.mayBeGone) continue;
    const value = ledger.certainFlag(facts, flag);
    if (value !== undefined) known.set(facts, value);
  }
  return known;
}

export async function checkMultiSearch(session: StressSession): Promise<void> {
  if (!session.capabilities.has('MULTISEARCH')) return;
  const { ledgers } = session.options;
  const key = session.any(Object.keys(flagKeys));
  const [flag, isSet] = flagKeys[key] ?? ['', true];
  const before = ledgers.map((ledger) => certain(ledger, flag));
  const start = ledgers[0]?.clock.tick() ?? 0;
  const names = ledgers.map((ledger) => session.nameOf(ledger)).join(' ');
  const reply = await session.run(`ESEARCH IN (mailboxes (${names})) RETURN (ALL COUNT) ${key}`);
  if (!reply.startsWith('OK')) session.fail(`ESEARCH: ${reply}`);
  ledgers.forEach((ledger, index) => {
    const line = session.lines.find((text) => new RegExp(`^\\* ESEARCH \\(.*MAILBOX "?${session.nameOf(ledger)}"?[ )]`).test(text)) ?? '';
    const validity = /UIDVALIDITY (\d+)/.exec(line)?.[1];
    if (line !== '') ledger.noteUidValidity(Number(validity));
    const all = / ALL ([\d:,]+)/.exec(line)?.[1];
    const found = new Set(all === undefined ? [] : readSet(all));
    for (const uid of found) {
      const { goneSince } = ledger.facts(uid);
      // A session with the mailbox selected still has it, until it may be told.
      if (goneSince !== undefined && goneSince < start && session.view?.ledger !== ledger)
        session.fail(`ESEARCH found UID ${uid}, which was gone`);
    }
    for (const [facts, value] of before[index] ?? []) {
      if (facts.mayBeGone || found.has(facts.uid) === (value === isSet)) continue;
      // The selected mailbox is searched as the session knows it, before it is told what is new.
      if (session.view?.ledger === ledger) continue;
      if (ledger.wasWritten(facts, flag, !value, start)) continue;
      session.fail(
        `ESEARCH ${key} in ${ledger.name} ${found.has(facts.uid) ? 'found' : 'did not find'} UID ${facts.uid}, where ${flag} is ${value}`,
      );
    }
  });
}
