// LIST and LSUB (RFC 9051 6.3.9, RFC 3501 6.3.9, RFC 5258, RFC 5819, RFC 6154).
import { type ListCommand, parseList, parseLsub } from '#protocol/imap/commands/list.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { allRights } from '#storage/acl.js';
import { StorageError } from '#storage/errors.js';
import type { MailboxListEntry } from '#storage/user.js';
import { row } from '../command-spec.js';
import { encodeEntry, readMetadata } from '../metadata.js';
import { separatorOf } from '../names.js';
import { type Outcome, ok } from '../outcome.js';
import { isGuarded, listedRights, myRights } from '../rights.js';
import type { Session } from '../session.js';
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

function patternsOf(command: ListCommand): string[] {
  // INBOX in any case when it stands alone; with a reference the whole text is the name.
  return command.patterns.map((pattern) => command.reference + pattern);
}

function attributesOf(session: Session, entry: MailboxListEntry, command: ListCommand): string[] {
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
  const isRecursive = selection.has('RECURSIVEMATCH');
  if (selection.has('SUBSCRIBED') && !entry.isSubscribed && !(isRecursive && entry.hasSubscribedChildren)) return false;
  if (selection.has('SPECIAL-USE') && entry.specialUse.length === 0) return false;
  // Without SUBSCRIBED a name that only a subscription knows is not listed.
  return selection.has('SUBSCRIBED') || entry.exists || entry.hasChildren;
}

export const listRow = row({
  name: 'LIST',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseList,
  async run(session, command, { signal }) {
    if (command.patterns.length === 1 && command.patterns[0] === '' && command.selection.size === 0)
      return writeRoot(session, command, 'LIST');
    const entries = await session.user.list(patternsOf(command), { subscribedOnly: command.selection.has('SUBSCRIBED') }, signal);
    for (const entry of entries) {
      if (!matchesSelection(entry, command)) continue;
      const rights = isGuarded(session, entry.name) ? await rightsOf(session, entry, signal) : allRights;
      if (!rights.includes('l')) continue;
      const childInfo =
        command.selection.has('RECURSIVEMATCH') && command.selection.has('SUBSCRIBED') && entry.hasSubscribedChildren
          ? ' ("CHILDINFO" ("SUBSCRIBED"))'
          : '';
      session.text(
        `* LIST (${attributesOf(session, entry, command).join(' ')}) ${encodeString(entry.separator)} ${session.mailboxName(entry.name)}${childInfo}\r\n`,
      );
      // RFC 5819 2, RFC 8440 2, RFC 9590 4: nothing more of a parent that is listed for the sake of its children.
      const isMailbox = entry.exists && entry.isSelectable && (entry.isSubscribed || !command.selection.has('SUBSCRIBED'));
      if (command.returns?.status !== undefined && isMailbox) await writeStatus(session, entry.name, command, signal);
      if (command.returns?.myRights && session.settings.imap_acl && isMailbox)
        session.text(`* MYRIGHTS ${session.mailboxName(entry.name)} ${listedRights(rights)}\r\n`);
      // RFC 5464 4.2 with 4314: entries are read as messages are.
      if (command.returns?.metadata !== undefined && isMailbox && rights.includes('r'))
        await writeMetadata(session, entry.name, command.returns.metadata, signal);
      if (session.output.isFull) await session.output.drain();
    }
    return ok('List completed.');
  },
});

/** RFC 5819 2: a mailbox whose status cannot be had is listed without it. */
async function writeStatus(session: Session, name: string, command: ListCommand, signal: AbortSignal): Promise<void> {
  try {
    session.text(`${await statusLine(session, name, command.returns?.status ?? [], signal)}\r\n`);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    session.log.debug('imap.list-status', `STATUS of ${name} failed: ${error.message}`, { error });
  }
}

/** Those of what only holds other mailboxes, or is not there any more, do not matter. */
async function rightsOf(session: Session, entry: MailboxListEntry, signal: AbortSignal): Promise<string> {
  if (!entry.exists || !entry.isSelectable) return allRights;
  try {
    return await myRights(session, entry.name, signal);
  } catch (error) {
    if (error instanceof StorageError) return allRights;
    throw error;
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
