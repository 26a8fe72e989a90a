// REPLACE (RFC 8508): the new message is saved before the old one goes, so that no failure loses both.
import { parseAppendItem, parseAppendTail } from '#protocol/imap/commands/append.js';
import { isReplaceMessage, parseReplaceHead } from '#protocol/imap/commands/replace.js';
import { type CommandCall, messageRow } from '../command-spec.js';
import type { MessageInput, Segment } from '../message-input.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import { demandRights } from '../rights.js';
import type { Session } from '../session.js';
import { appendUid, openTarget, receiveMessage } from './append.js';
import { afterExpunge } from './copy.js';

async function replace(session: Session, input: MessageInput | undefined, start: Segment, call: CommandCall): Promise<Outcome> {
  const { isUid, signal } = call;
  const { view } = session;
  const { number, mailbox: name } = parseReplaceHead(start.reader);
  const item = parseAppendItem(start.reader);
  if (view.isReadOnly) return no('Mailbox is read-only.', 'READ-ONLY');
  const seq = number === Number.POSITIVE_INFINITY ? view.count : isUid ? view.seqOf(number) : number;
  if (seq === 0 && isUid) return no('There is no message with this UID.', 'NONEXISTENT');
  if (seq === 0 || seq > view.count) return bad('Error in IMAP command REPLACE: Invalid messageset');
  await demandRights(session, view.mailbox.name, 'te', signal);
  const uid = view.uidAt(seq);
  const target = await openTarget(session, name, signal);
  if ('kind' in target) return target;
  const { mailbox, rights } = target;
  // The old message goes when the new one is in: only the difference needs room.
  const missing = await view.prepare([seq], { size: true }, signal);
  const replaced = missing.length === 0 ? { mailbox: view.mailbox, octets: view.sizeAt(seq) } : undefined;
  await using transaction = mailbox.beginAppend('append', replaced);
  const next = await receiveMessage(session, { transaction, rights }, input, item, start, signal);
  if ('kind' in next) return next;
  if (parseAppendTail(next.reader)) return bad('Error in IMAP command REPLACE: Too many messages');
  // The literal may have taken its time: of two clients that replace the same message one is told.
  if (view.isExpunged(seq)) return no('The message to replace no longer exists.', 'EXPUNGEISSUED');
  const result = await transaction.commit(signal);
  session.noteOwn(mailbox.guid, result.uids);
  const code = appendUid(result, rights);
  if (code !== undefined) session.text(`* OK [${code}] Replacement message ready\r\n`);
  session.counters.expunged += await view.expunge([uid], signal, 'any');
  return ok('Replace completed.', session.has('QRESYNC') ? await afterExpunge(session, call) : undefined);
}

export const replaceRow = messageRow({
  name: 'REPLACE',
  state: 'selected',
  flags: ['has-uid-form', 'removes-messages'],
  isMessage: isReplaceMessage,
  run: (session, input, call) => replace(session, input, { reader: input.head, literal: input.literal }, call),
  runWithoutLiteral: (session, reader, call) => replace(session, undefined, { reader, literal: undefined }, call),
});
