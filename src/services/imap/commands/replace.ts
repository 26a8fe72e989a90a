// REPLACE (RFC 8508): the new message is saved before the old one goes, so that no failure loses both.
import { parseAppendItem, parseAppendTail } from '#protocol/imap/commands/append.js';
import { isReplaceMessage, parseReplaceHead } from '#protocol/imap/commands/replace.js';
import { flagBit } from '#storage/types.js';
import { type CommandCall, messageRow } from '../command-spec.js';
import type { MessageInput } from '../message-input.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import { demandRights, myRights } from '../rights.js';
import type { Session } from '../session.js';
import { writeUpdates } from '../update-writer.js';
import { appendUid, openTarget, receiveMessage } from './append.js';
import type { Segment } from './append-catenate.js';

async function replace(
  session: Session,
  input: MessageInput | undefined,
  start: Segment,
  { isUid, signal }: CommandCall,
): Promise<Outcome> {
  const { view } = session;
  const { number, mailbox: name } = parseReplaceHead(start.reader);
  const item = parseAppendItem(start.reader);
  if (view.isReadOnly) return no('Mailbox is read-only.', 'READ-ONLY');
  const seq = number === Number.POSITIVE_INFINITY ? view.count : isUid ? view.seqOf(number) : number;
  if (seq === 0 && isUid) return no('There is no message with this UID.', 'NONEXISTENT');
  if (seq === 0 || seq > view.count) return bad('Error in IMAP command REPLACE: Invalid messageset');
  await demandRights(session, view.mailbox.name, 'te', signal);
  const uid = view.uidAt(seq);
  const mailbox = await openTarget(session, name, signal);
  if ('kind' in mailbox) return mailbox;
  // The old message goes when the new one is in: only the difference needs room.
  const missing = await view.prepare([seq], { size: true }, signal);
  const replaced = missing.length === 0 ? { mailbox: view.mailbox, octets: view.sizeAt(seq) } : undefined;
  const rights = await myRights(session, name, signal);
  await using transaction = mailbox.beginAppend('append', replaced);
  const next = await receiveMessage(session, { transaction, rights }, input, item, start, signal);
  if ('kind' in next) return next;
  if (parseAppendTail(next.reader)) return bad('Error in IMAP command REPLACE: Too many messages');
  const result = await transaction.commit(signal);
  session.noteOwn(mailbox.guid, result.uids);
  const code = appendUid(result);
  if (code !== undefined) session.text(`* OK [${code}] Replacement message ready\r\n`);
  const deleted = { mode: 'add', flags: { system: flagBit.deleted, keywords: [] }, unchangedSince: undefined } as const;
  await view.store([seq], deleted, { silent: true }, signal);
  await view.expunge([uid], signal);
  session.counters.expunged += 1;
  if (!session.has('QRESYNC')) return ok('Replace completed.');
  await writeUpdates(session, { allowExpunge: true, withUid: isUid, isOwn: true }, signal);
  // RFC 7162 3.2.7, as for EXPUNGE.
  return ok('Replace completed.', `HIGHESTMODSEQ ${view.highestModSeq}`);
}

export const replaceRow = messageRow({
  name: 'REPLACE',
  state: 'selected',
  flags: ['has-uid-form', 'removes-messages'],
  isMessage: isReplaceMessage,
  run: (session, input, call) => replace(session, input, { reader: input.head, literal: input.literal }, call),
  runWithoutLiteral: (session, reader, call) => replace(session, undefined, { reader, literal: undefined }, call),
});
