// LIST and LSUB (RFC 9051 6.3.9, RFC 3501 6.3.9, RFC 5258, RFC 5819, RFC 6154).
import { type ListCommand, type ListSelection, parseList, parseLsub } from '#protocol/imap/commands/list.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { StorageError } from '#storage/errors.js';
import type { MailboxListEntry } from '#storage/user.js';
import { row } from '../command-spec.js';
import { encodeEntry, mayAnnotate, readMetadata } from '../metadata.js';
import { parentOf, separatorOf } from '../names.js';
import { bad, type Outcome, ok } from '../outcome.js';
import { listedRights } from '../rights.js';
import type { Session } from '../session.js';
import { VisibleEntries } from '../visible-entries.js';
import { statusLine } from './status.js';

/** `LIST ref ""` asks for the separator and the root of the reference (RFC 9051 6.3.9). */
function writeRoot(session: Session, command: ListCommand, verb: 'LIST' | 'LSUB'): Outcome {
  const namespace = session.user.namespaces
    .filter(({ prefix }) => prefix !== '' && command.reference.startsWith(prefix))
    .sort((a, b) => b.prefix.length - a.prefix.length)[0];
  const separator = namespace?.separator ?? separatorOf(session.user, command.reference);
  const root = namespace?.prefix ?? '';
  session.text(`* ${verb} (\\Noselect) ${encodeString(separator)} ${root === '' ? '""' : session.mailboxName(root)}\r\n`);
  return ok(verb === 'LIST' ? 'List completed.' : 'Lsub completed.');
}

function patternsOf({ patterns, reference, isExtended }: ListCommand): string[] {
  // INBOX in any case when it stands alone; with a reference the whole text is the name. RFC 9051 6.3.9: empty ones mean nothing in extended LIST.
  return patterns.filter((pattern) => pattern !== '' || !isExtended).map((pattern) => reference + pattern);
}

type Asked = Pick<ListCommand, 'selection' | 'returns' | 'isExtended'>;
const nothingAsked: Asked = { selection: new Set(), returns: undefined, isExtended: true };

/** What LIST would say of a mailbox that is there (RFC 9051 6.3.2: SELECT says the same). */
export async function attributesNow(session: Session, name: string, signal: AbortSignal): Promise<string> {
  const entries = await session.user.list([name], { subscribedOnly: false }, signal);
  // The name may hold wildcards, and the namespace may be a hidden one.
  const entry = entries.find((found) => found.name === name);
  if (entry === undefined) return '';
  const seen = await (await VisibleEntries.of(session, [entry], signal)).look(entry, false);
  // A mailbox that is open may be one that its user cannot look up (RFC 4314 4).
  return attributesOf(session, seen?.entry ?? { ...entry, hasChildren: false }, nothingAsked).join(' ');
}

function attributesOf(session: Session, entry: MailboxListEntry, command: Asked): string[] {
  const attributes: string[] = [];
  const isSubscribedAsked = command.selection.has('SUBSCRIBED') || (command.returns?.subscribed ?? false);
  if (!entry.exists) attributes.push(command.isExtended || session.isRev2 ? '\\NonExistent' : '\\Noselect');
  else if (!entry.isSelectable) attributes.push('\\Noselect');
  if (isSubscribedAsked && entry.isSubscribed) attributes.push('\\Subscribed');
  // RFC 3348 wants them always; clients rely on it.
  attributes.push(entry.hasChildren ? '\\HasChildren' : '\\HasNoChildren');
  if (entry.isMarked !== undefined) attributes.push(entry.isMarked ? '\\Marked' : '\\UnMarked');
  attributes.push(...entry.specialUse);
  return attributes;
}

function matchesSelection(entry: MailboxListEntry, { selection }: ListCommand): boolean {
  if (selection.has('SUBSCRIBED') && !entry.isSubscribed) return false;
  if (selection.has('SPECIAL-USE') && entry.specialUse.length === 0) return false;
  // Without SUBSCRIBED a name that only a subscription knows is not listed.
  return selection.has('SUBSCRIBED') || entry.exists || entry.hasChildren;
}

interface Parents {
  /** Of all that match the selection: CHILDINFO. */
  readonly all: ReadonlySet<string>;
  /** Of those that no pattern names: they are listed for their sake alone (RFC 9051 6.3.9.3). */
  readonly ofUnlisted: ReadonlySet<string>;
}

const noParents: Parents = { all: new Set(), ofUnlisted: new Set() };

/** For RECURSIVEMATCH: names above mailboxes that match the selection. */
async function parentsOf(
  session: Session,
  command: ListCommand,
  listed: readonly MailboxListEntry[],
  visible: VisibleEntries,
  signal: AbortSignal,
): Promise<Parents> {
  if (!command.selection.has('RECURSIVEMATCH')) return noParents;
  const names = new Set(listed.map(({ name }) => name));
  const all = new Set<string>();
  const ofUnlisted = new Set<string>();
  for (const entry of await session.user.list(['*'], { subscribedOnly: command.selection.has('SUBSCRIBED') }, signal)) {
    if (!matchesSelection(entry, command) || !(await visible.canSee(entry))) continue;
    for (let name = parentOf(entry.name, entry.separator); name !== ''; name = parentOf(name, entry.separator)) {
      all.add(name);
      if (!names.has(entry.name)) ofUnlisted.add(name);
    }
  }
  return { all, ofUnlisted };
}

/** RFC 5258 3: an option of an extension that is not offered is BAD, as any other that is not known. */
function optionOfWhatIsOff({ settings }: Session, { returns }: ListCommand): string | undefined {
  if (returns?.myRights && !settings.imap_acl) return 'MYRIGHTS';
  return returns?.metadata !== undefined && !settings.imap_metadata ? 'METADATA' : undefined;
}

export const listRow = row({
  name: 'LIST',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseList,
  async run(session, command, { signal }) {
    if (!command.isExtended && command.patterns[0] === '') return writeRoot(session, command, 'LIST');
    const unknown = optionOfWhatIsOff(session, command);
    if (unknown !== undefined) return bad(`Error in IMAP command LIST: Unknown return option ${unknown}`);
    const entries = await session.user.list(patternsOf(command), { subscribedOnly: command.selection.has('SUBSCRIBED') }, signal);
    const visible = await VisibleEntries.of(session, entries, signal);
    const parents = await parentsOf(session, command, entries, visible, signal);
    const showsLevels = command.patterns.some((pattern) => !pattern.includes('*'));
    const criteria = ['SUBSCRIBED', 'SPECIAL-USE'].filter((name) => command.selection.has(name as ListSelection));
    for (const listed of entries) {
      if (!matchesSelection(listed, command) && !parents.ofUnlisted.has(listed.name)) continue;
      const seen = await visible.look(listed, showsLevels);
      if (seen === undefined) continue;
      const { entry, rights } = seen;
      const isMatch = matchesSelection(entry, command);
      if (!isMatch && !parents.ofUnlisted.has(entry.name)) continue;
      const childInfo = parents.all.has(entry.name) ? ` ("CHILDINFO" (${criteria.map((name) => `"${name}"`).join(' ')}))` : '';
      // RFC 5819 2, RFC 8440 2, RFC 9590 4: nothing more of a parent that is listed for the sake of its children.
      const isMailbox = entry.exists && entry.isSelectable && isMatch;
      const status = command.returns?.status !== undefined && isMailbox ? await statusOf(session, entry.name, command, signal) : undefined;
      const shown = status === 'not-selectable' ? { ...entry, isSelectable: false, isMarked: undefined } : entry;
      session.text(
        `* LIST (${attributesOf(session, shown, command).join(' ')}) ${encodeString(entry.separator)} ${session.mailboxName(entry.name)}${childInfo}\r\n`,
      );
      if (status !== undefined && status !== 'not-selectable') session.text(`${status}\r\n`);
      if (command.returns?.myRights && isMailbox) session.text(`* MYRIGHTS ${session.mailboxName(entry.name)} ${listedRights(rights)}\r\n`);
      if (command.returns?.metadata !== undefined && isMailbox && mayAnnotate(rights))
        await writeMetadata(session, entry.name, command.returns.metadata, signal);
      if (session.output.isFull) await session.output.drain();
    }
    return ok('List completed.');
  },
});

/**
 * The STATUS response without line end; undefined when it cannot be had now.
 * @returns `not-selectable` for a mailbox that SELECT would refuse: LIST says so, and there is no STATUS (RFC 9051 6.3.9.2, RFC 5819 2)
 */
async function statusOf(
  session: Session,
  name: string,
  command: ListCommand,
  signal: AbortSignal,
): Promise<string | 'not-selectable' | undefined> {
  try {
    return await statusLine(session, name, command.returns?.status ?? [], signal);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    session.log.debug('imap.list-status', `STATUS of ${name} failed: ${error.message}`, { error });
    return ['no-permission', 'not-found', 'not-selectable'].includes(error.code) ? 'not-selectable' : undefined;
  }
}

/** RFC 9590 3: after LIST, as GETMETADATA says it, NIL for what is not there; nothing of a mailbox that cannot be opened. */
async function writeMetadata(session: Session, name: string, wanted: readonly string[], signal: AbortSignal): Promise<void> {
  try {
    const values = await readMetadata(session, name, signal);
    const found = [...new Set(wanted)].map((entry) => encodeEntry(entry, values.get(entry)));
    session.text(`* METADATA ${session.mailboxName(name)} (${found.join(' ')})\r\n`);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    session.log.debug('imap.list-metadata', `METADATA of ${name} failed: ${error.message}`, { error });
  }
}

export const lsubRow = row({
  name: 'LSUB',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseLsub,
  async run(session, command, { signal }) {
    if (command.patterns[0] === '') return writeRoot(session, command, 'LSUB');
    const entries = await session.user.list(patternsOf(command), { subscribedOnly: true }, signal);
    // Old Thunderbird takes \Noselect of LSUB for an order to hide the mailbox, and needs the other flags of LIST here.
    const withFlags = session.workarounds.has('tb-lsub-flags');
    const showsParents = command.patterns.some((pattern) => pattern.endsWith('%'));
    for (const entry of entries) {
      // RFC 3501 6.3.9: with %, a parent of something subscribed is shown as \Noselect.
      if (!entry.isSubscribed && !(showsParents && entry.hasSubscribedChildren)) continue;
      const attributes = entry.isSubscribed ? (withFlags && !entry.isSelectable ? '\\Noselect' : '') : '\\Noselect';
      session.text(`* LSUB (${attributes}) ${encodeString(entry.separator)} ${session.mailboxName(entry.name)}\r\n`);
      if (session.output.isFull) await session.output.drain();
    }
    return ok('Lsub completed.');
  },
});
