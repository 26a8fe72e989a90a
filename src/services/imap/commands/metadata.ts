// GETMETADATA and SETMETADATA (RFC 5464 4.2, 4.3).
import { type GetMetadataCommand, parseGetMetadata, parseSetMetadata, type SetMetadataCommand } from '#protocol/imap/commands/metadata.js';
import { denied } from '#storage/account-errors.js';
import { type Attributes, attributeLimits } from '#storage/attributes.js';
import { StorageError } from '#storage/errors.js';
import { type CommandCall, row } from '../command-spec.js';
import { encodeEntry, isMetadataEntry, mayAnnotate, readMetadata, specialUseEntry } from '../metadata.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import { demandRights, isGuarded, myRights } from '../rights.js';
import type { Session } from '../session.js';
import { toSpecialUses } from './create.js';

const off = bad('METADATA disabled.');

/** Entries of the reply in order: those named, with their children as DEPTH says. */
function select(values: Attributes, { entries, depth }: GetMetadataCommand): (readonly [string, Buffer | undefined])[] {
  const selected = new Map<string, Buffer | undefined>();
  for (const entry of entries) {
    if (depth === '0' || values.has(entry)) {
      // RFC 5464 4.2.1: without DEPTH an entry that is not there is NIL.
      if (isMetadataEntry(entry)) selected.set(entry, values.get(entry));
    }
    if (depth === '0') continue;
    for (const [name, value] of values) {
      if (!name.startsWith(`${entry}/`)) continue;
      if (depth === 'infinity' || !name.slice(entry.length + 1).includes('/')) selected.set(name, value);
    }
  }
  return [...selected];
}

/** RFC 5464 3.3: the right to look the mailbox up and one to use it. @throws StorageError `no-permission`, `not-found` */
async function demandAnnotating(session: Session, mailbox: string, writes: boolean, signal: AbortSignal): Promise<void> {
  if (!isGuarded(session, mailbox)) return;
  await demandRights(session, mailbox, writes ? 'lw' : 'l', signal);
  if (!mayAnnotate(await myRights(session, mailbox, signal))) throw denied(mailbox);
}

async function get(session: Session, command: GetMetadataCommand, { signal }: CommandCall): Promise<Outcome> {
  if (!session.settings.imap_metadata) return off;
  const { mailbox, maxSize } = command;
  if (mailbox !== undefined) await demandAnnotating(session, mailbox, false, signal);
  const values = await readMetadata(session, mailbox, signal);
  const selected = select(values, command);
  const fitting = selected.filter(([, value]) => maxSize === undefined || (value?.length ?? 0) <= maxSize);
  if (fitting.length > 0) {
    const name = mailbox === undefined ? '""' : session.mailboxName(mailbox);
    session.text(`* METADATA ${name} (${fitting.map(([entry, value]) => encodeEntry(entry, value)).join(' ')})\r\n`);
  }
  if (fitting.length === selected.length) return ok('Getmetadata completed.');
  const longest = Math.max(...selected.map(([, value]) => value?.length ?? 0));
  return ok('Getmetadata completed.', `METADATA LONGENTRIES ${longest}`);
}

async function set(session: Session, { mailbox, entries }: SetMetadataCommand, { signal }: CommandCall): Promise<Outcome> {
  if (!session.settings.imap_metadata) return off;
  // What all users share belongs to the administrator.
  if (mailbox === undefined && entries.some(({ name }) => name.startsWith('/shared/')))
    return no('Shared entries of the server cannot be changed.', 'NOPERM');
  // A user's private entries are nobody else's matter; what others see takes the right to write.
  const isShown = entries.some(({ name }) => name.startsWith('/shared/') || name === specialUseEntry);
  if (mailbox !== undefined) await demandAnnotating(session, mailbox, isShown, signal);
  if (entries.some(({ value }) => (value?.length ?? 0) > attributeLimits.valueBytes))
    return no('Value is too large.', `METADATA MAXSIZE ${attributeLimits.valueBytes}`);
  const use = mailbox === undefined ? undefined : entries.findLast(({ name }) => name === specialUseEntry);
  const changes = new Map(entries.filter((entry) => entry.name !== specialUseEntry).map(({ name, value }) => [name, value]));
  const uses =
    use === undefined ? undefined : toSpecialUses((use.value?.toString('latin1') ?? '').split(' ').filter((word) => word !== ''));
  if (use !== undefined && uses === undefined) return no('This special use cannot be given to a mailbox.', 'USEATTR');
  try {
    if (changes.size > 0) await session.user.changeAttributes(mailbox, changes, signal);
  } catch (error) {
    if (error instanceof StorageError && error.code === 'limit') return no('Too many entries.', 'METADATA TOOMANY');
    throw error;
  }
  // Last, as everything that can be refused for reasons of the client has been by now (RFC 5464 4.3: all or nothing).
  if (uses !== undefined && mailbox !== undefined) await session.user.setSpecialUse(mailbox, uses, signal);
  if (mailbox !== undefined) await raiseModSeq(session, mailbox, signal);
  await session.notify?.expectMetadata(mailbox, signal);
  await session.metadataNews?.expectMetadata(mailbox, signal);
  return ok('Setmetadata completed.');
}

/** RFC 7162 3.2: clients with QRESYNC learn that something of the mailbox is new. */
async function raiseModSeq(session: Session, name: string, signal: AbortSignal): Promise<void> {
  try {
    const mailbox = await session.user.openMailbox(name, signal);
    await mailbox.raiseModSeq(signal);
  } catch (error) {
    // The entry is changed; a name that only holds other mailboxes has no modseqs.
    if (!(error instanceof StorageError)) throw error;
  }
}

export const getMetadataRow = row({
  name: 'GETMETADATA',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseGetMetadata,
  run: get,
});
export const setMetadataRow = row({ name: 'SETMETADATA', state: 'authenticated', flags: [], parse: parseSetMetadata, run: set });
