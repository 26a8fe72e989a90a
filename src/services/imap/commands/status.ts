// STATUS (RFC 9051 6.3.11, RFC 8438, RFC 7162, RFC 8474, RFC 7889, RFC 9208).
import { parseStatus, type StatusItem } from '#protocol/imap/commands/status.js';
import type { Mailbox } from '#storage/mailbox.js';
import { flagBit } from '#storage/types.js';
import { row } from '../command-spec.js';
import { forEachPrepared } from '../message-headers.js';
import { ok } from '../outcome.js';
import { demandRights } from '../rights.js';
import type { Session } from '../session.js';

/** Octets that an expunge would free (RFC 9208 4.1.4). */
async function deletedStorage(mailbox: Mailbox, signal: AbortSignal): Promise<number> {
  await using view = await mailbox.openView({ readOnly: true }, signal);
  const deleted: number[] = [];
  for (let seq = 1; seq <= view.count; seq++) if ((view.systemFlagsAt(seq) & flagBit.deleted) !== 0) deleted.push(seq);
  let octets = 0;
  const add = (seq: number): void => {
    octets += view.sizeAt(seq);
  };
  await forEachPrepared(view, deleted, { size: true }, add, signal);
  return octets;
}

/** `* STATUS name (MESSAGES 3 ...)` without line end. @throws StorageError */
export async function statusLine(session: Session, name: string, items: readonly StatusItem[], signal: AbortSignal): Promise<string> {
  const mailbox = await session.user.openMailbox(name, signal);
  await demandRights(session, name, 'r', signal);
  const status = await mailbox.status({ size: items.includes('SIZE') }, signal);
  if (items.includes('HIGHESTMODSEQ')) session.useModSeqs();
  const limit = session.settings.imap_append_limit;
  const values: Readonly<Record<StatusItem, string | number | undefined>> = {
    MESSAGES: status.messages,
    RECENT: status.recent,
    UIDNEXT: status.uidNext,
    UIDVALIDITY: status.uidValidity,
    UNSEEN: status.unseen,
    HIGHESTMODSEQ: status.highestModSeq,
    SIZE: status.size,
    DELETED: status.deleted,
    'DELETED-STORAGE': items.includes('DELETED-STORAGE') ? await deletedStorage(mailbox, signal) : undefined,
    MAILBOXID: `(${status.guid})`,
    APPENDLIMIT: limit > 0 ? limit : 'NIL',
  };
  const parts: string[] = [];
  for (const item of items) {
    const value = values[item];
    if (value !== undefined) parts.push(`${item} ${value}`);
  }
  return `* STATUS ${session.mailboxName(name)} (${parts.join(' ')})`;
}

export const statusRow = row({
  name: 'STATUS',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseStatus,
  async run(session, { mailbox, items }, { signal }) {
    session.text(`${await statusLine(session, mailbox, items, signal)}\r\n`);
    return ok('Status completed.');
  },
});
