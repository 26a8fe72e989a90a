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
import { planSearch, UidRequiredError } from '../search-plan.js';
import { extendedReply, returnAll, savedPart } from '../search-reply.js';
import type { Session } from '../session.js';

/** `$` is of the selected mailbox (RFC 5182 2.1). Message numbers are those of each mailbox searched (RFC 7377 2). */
function usesSaved(key: SearchKey): boolean {
  switch (key.kind) {
    case 'sequence':
    case 'uid':
      return key.set.kind === 'saved';
    case 'and':
    case 'or':
      return key.keys.some(usesSaved);
    case 'not':
    case 'fuzzy':
      return usesSaved(key.key);
    default:
      return false;
  }
}

async function namesOf(session: Session, { sources }: EsearchCommand, signal: AbortSignal): Promise<readonly string[]> {
  const selected = session.selectedView?.mailbox.name;
  if (sources === undefined) return selected === undefined ? [] : [selected];
  const names = new Set<string>();
  for (const entry of await session.user.list(['*'], { subscribedOnly: false }, signal)) {
    const isMeant = entry.exists && entry.isSelectable && sources.some((filter) => matchesFilter(session.user, filter, entry));
    if (isMeant) names.add(entry.name);
  }
  // RFC 7377 2.2: what the client names, or has selected, need not be listed.
  for (const filter of sources) {
    if (filter.kind === 'selected' && selected !== undefined) names.add(selected);
    if (filter.kind === 'mailboxes') for (const name of filter.names) names.add(name);
  }
  return [...names];
}

interface EsearchCall {
  readonly call: CommandCall;
  /** Mailboxes of which only a part was searched. */
  readonly cut: Set<string>;
}

/** What each ESEARCH response to ESEARCH says besides the tag (RFC 7377 2.1). */
function scopeOf(session: Session, { mailbox }: MailboxView): string {
  return ` MAILBOX ${session.mailboxName(mailbox.name)} UIDVALIDITY ${mailbox.uidValidity}`;
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
  const result = { view, tag: call.tag, scope: scopeOf(session, view), isUid: true, found, withModSeq: program.usesModSeq };
  const reply = extendedReply(result, command.returns ?? returnAll);
  if (reply !== undefined) session.text(`${reply}\r\n`);
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
  session.contexts.add(view, { tag, scope: scopeOf(session, view), isUid: true, query, found, items: command.returns?.updateItems }, since);
}

async function searchAll(session: Session, names: readonly string[], command: EsearchCommand, { call, cut }: EsearchCall): Promise<void> {
  const { returns } = command;
  await withProgress(session, call, async (progress) => {
    progress.goal = names.length;
    progress.done = 0;
    for (const name of names) {
      if (name !== session.selectedView?.mailbox.name) await searchOther(session, name, command, { call, cut });
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
  if (usesSaved(program.key) && names.some((name) => name !== selected)) return bad('The saved result is of the selected mailbox.');
  if (program.usesModSeq) session.useModSeqs();
  const cut = new Set<string>();
  try {
    await searchAll(session, names, command, { call, cut });
  } catch (error) {
    // RFC 5182 2.1: a SAVE that is answered with NO leaves an empty result, one answered with BAD the last one.
    if (returns?.save && !(error instanceof UidRequiredError)) session.savedSearch = [];
    throw error;
  }
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
