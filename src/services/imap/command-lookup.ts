// Which command a client means, and whether it may have it now.
import type { CommandReader } from '#protocol/imap/reader.js';
import type { CommandRow } from './command-spec.js';
import { findCommand } from './command-table.js';
import { bad, type Outcome } from './outcome.js';
import type { Session } from './session.js';

/** A row of the table, and the form that was used. */
export interface Found {
  readonly row: CommandRow;
  readonly isUid: boolean;
}

export function isMessageLiteral(name: string, before: string, isFirst: boolean): boolean {
  return lookUp(name)?.row.message?.isMessage(before, isFirst) ?? false;
}

export function lookUp(name: string): Found | undefined {
  if (!name.startsWith('UID ')) {
    const row = findCommand(name);
    return row === undefined || row.flags.has('uid-only') ? undefined : { row, isUid: false };
  }
  const row = findCommand(name.slice(4));
  return row?.flags.has('has-uid-form') || row?.flags.has('uid-only') ? { row, isUid: true } : undefined;
}

export function isAllowedBesideSearch(name: string, reader: CommandReader): boolean {
  const row = lookUp(name)?.row;
  if (row === undefined) return false;
  return row.flags.has('beside-search') || (row.besideSearch?.test(reader.text.slice(reader.position)) ?? false);
}

/** What the session's state means for the grammar. */
export function prepareReader(session: Session, reader: CommandReader): void {
  reader.isUtf8 = session.isUtf8;
  if (session.workarounds.has('tb-extra-mailbox-sep')) reader.ignoredSuffix = session.user.namespaces[0]?.separator ?? '/';
}

export function checkState(session: Session, { row, isUid }: Found): Outcome | undefined {
  // RFC 9586 3.2: commands with message numbers are refused; EXPUNGE has none.
  if (session.has('UIDONLY') && !isUid && row.flags.has('has-uid-form') && row.name !== 'EXPUNGE')
    return bad('Message numbers are off.', 'UIDREQUIRED');
  return row.state === 'selected' && !session.isSelected ? bad('No mailbox selected.') : undefined;
}
