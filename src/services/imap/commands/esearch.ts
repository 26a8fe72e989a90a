// ESEARCH (RFC 7377).
import { type EsearchCommand, parseEsearch } from '#protocol/imap/commands/esearch.js';
import { encodeString } from '#protocol/imap/encoder.js';
import type { SearchKey } from '#protocol/imap/search-key.js';
import { StorageError } from '#storage/errors.js';
import type { MailboxView } from '#storage/mailbox.js';
import { type CommandCall, row } from '../command-spec.js';
import { matchesFilter } from '../filtered-mailboxes.js';
import { limitSearch, withLimit } from '../message-limit.js';
import { bad, type Outcome, ok } from '../outcome.js';
import { withProgress } from '../progress.js';
import { demandRights } from '../rights.js';
import { planSearch } from '../search-plan.js';
import { extendedReply, returnAll, savedPart } from '../search-reply.js';
import type { Session } from '../session.js';

/** Numbers and `$` mean something in the selected mailbox only (RFC 7377 2.1). */
function usesNumbers(key: SearchKey): boolean {
  switch (key.kind) {
    case 'sequence':
      return true;
    case 'uid':
      return key.set.kind === 'saved';
    case 'and':
    case 'or':
      return key.keys.some(usesNumbers);
    case 'not':
    case 'fuzzy':
      return usesNumbers(key.key);
    default:
      return false;
  }
}

async function namesOf(session: Session, { sources }: EsearchCommand, signal: AbortSignal): Promise<readonly string[]> {
  const selected = session.selectedView?.mailbox.name;
  if (sources === undefined) return selected === undefined ? [] : [selected];
  const entries = await session.user.list(['*'], { subscribedOnly: false }, signal);
  const names = entries
    .filter((entry) => entry.exists && entry.isSelectable)
    .filter((entry) =>
      sources.some((filter) => (filter.kind === 'selected' ? entry.name === selected : matchesFilter(session.user, filter, entry))),
    );
  return names.map(({ name }) => name);
}

interface EsearchCall {
  readonly call: CommandCall;
  /** Mailboxes of which only a part was searched. */
  readonly cut: Set<string>;
}

/** Writes the reply of one mailbox; those without matches have none (RFC 7377 2.1). @returns what was found */
async function searchView(
  session: Session,
  view: MailboxView,
  command: EsearchCommand,
  { call, cut }: EsearchCall,
): Promise<readonly number[]> {
  const { program } = command;
  const limited = limitSearch(session, view, planSearch(session, program, view));
  const found = await view.search(limited.part, call.signal);
  if (limited.code !== undefined) cut.add(view.mailbox.name);
  if (found.length === 0) return found;
  const { mailbox } = view;
  const scope = ` MAILBOX ${session.mailboxName(mailbox.name)} UIDVALIDITY ${mailbox.uidValidity}`;
  const result = { view, tag: call.tag, isUid: true, found, withModSeq: program.usesModSeq };
  const reply = extendedReply(result, command.returns ?? returnAll);
  const tag = `(TAG ${encodeString(call.tag)}`;
  if (reply !== undefined) session.text(`${reply.replace(tag, () => tag + scope)}\r\n`);
  if (session.output.isFull) await session.output.drain();
  return found;
}

/** RFC 7377 2.2: mailboxes that the client did not name itself must be visible, too. */
function neededRights({ sources }: EsearchCommand, name: string): string {
  const isNamed = sources?.some((filter) => filter.kind === 'mailboxes' && filter.names.includes(name)) ?? false;
  return isNamed ? 'r' : 'lr';
}

async function searchOther(session: Session, name: string, command: EsearchCommand, run: EsearchCall): Promise<void> {
  const { call } = run;
  try {
    const mailbox = await session.user.openMailbox(name, call.signal);
    await demandRights(session, name, neededRights(command, name), call.signal);
    await using view = await mailbox.openView({ readOnly: true }, call.signal);
    await searchView(session, view, command, run);
  } catch (error) {
    // RFC 7377 2.1: mailboxes that cannot be searched are passed over.
    if (!(error instanceof StorageError) || !['not-found', 'not-selectable', 'no-permission'].includes(error.code)) throw error;
  }
}

/** RFC 7377 2.2: updates are of the selected mailbox alone. */
function keepUpdated(session: Session, found: readonly number[], command: EsearchCommand, { tag }: CommandCall, since: number): void {
  if (session.contexts.isFull) return;
  const { view } = session;
  const query = planSearch(session, command.program, view);
  session.contexts.add(view, { tag, isUid: true, query, found, items: command.returns?.updateItems }, since);
}

async function run(session: Session, command: EsearchCommand, call: CommandCall): Promise<Outcome> {
  const { program, sources, returns } = command;
  if (program.charset !== undefined && session.has('UTF8=ACCEPT')) return bad('CHARSET after ENABLE UTF8=ACCEPT');
  const needsSelected = sources === undefined || sources.some(({ kind }) => kind === 'selected');
  if (needsSelected && !session.isSelected) return bad('No mailbox selected.');
  if (returns?.update && !session.isSelected) return bad('No mailbox selected.');
  if (returns?.update && session.contexts.has(call.tag)) return bad('Duplicate search update tag');
  const names = await namesOf(session, command, call.signal);
  const selected = session.selectedView?.mailbox.name;
  if (usesNumbers(program.key) && names.some((name) => name !== selected)) return bad('Message numbers in a search of other mailboxes.');
  if (program.usesModSeq) session.useModSeqs();
  const cut = new Set<string>();
  await withProgress(session, call, async (progress) => {
    progress.goal = names.length;
    progress.done = 0;
    for (const name of names) {
      if (name !== selected) await searchOther(session, name, command, { call, cut });
      else {
        const { view } = session;
        const since = view.highestModSeq;
        const found = await searchView(session, view, command, { call, cut });
        if (returns?.save) session.savedSearch = savedPart(found, returns).map((seq) => view.uidAt(seq));
        if (returns?.update) keepUpdated(session, found, command, call, since);
      }
      progress.done += 1;
    }
  });
  if (returns?.update && !session.contexts.has(call.tag))
    session.text(`* NO [NOUPDATE ${encodeString(call.tag)}] This search is not kept up to date.\r\n`);
  // One UID cannot say where the search stopped in several mailboxes.
  const code = cut.size === 0 ? undefined : `MESSAGELIMIT ${session.settings.imap_message_limit}`;
  return withLimit(session, ok('Search completed.'), { code });
}

export const esearchRow = row({
  name: 'ESEARCH',
  state: 'authenticated',
  flags: ['uses-sequences', 'heavy'],
  parse: parseEsearch,
  run,
});
