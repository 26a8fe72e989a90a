// REPLACE (RFC 8508): the new message is saved before the old one goes, so that no failure loses both.
import { parseAppendItem, parseAppendTail } from '#protocol/imap/commands/append.js';
import { isReplaceMessage, parseReplaceHead } from '#protocol/imap/commands/replace.js';
import { flagBit } from '#storage/types.js';
import { messageRow } from '../command-spec.js';
import { bad, no, ok } from '../outcome.js';
import { appendUid, openTarget, receiveMessage } from './append.js';

export const replaceRow = messageRow({
  name: 'REPLACE',
  state: 'selected',
  flags: ['has-uid-form'],
  isMessage: isReplaceMessage,
  async run(session, input, { isUid, signal }) {
    const { view } = session;
    const { number, mailbox: name } = parseReplaceHead(input.head);
    const item = parseAppendItem(input.head);
    if (view.isReadOnly) return no('Mailbox is read-only.', 'READ-ONLY');
    const seq = number === Number.POSITIVE_INFINITY ? view.count : isUid ? view.seqOf(number) : number;
    if (seq === 0 && isUid) return no('There is no message with this UID.', 'NONEXISTENT');
    if (seq === 0 || seq > view.count) return bad('Error in IMAP command REPLACE: Invalid messageset');
    const uid = view.uidAt(seq);
    const mailbox = await openTarget(session, name, signal);
    if ('kind' in mailbox) return mailbox;
    await using transaction = mailbox.beginAppend('append');
    const refusal = await receiveMessage(session, transaction, input, item, input.literal, signal);
    if (refusal !== undefined) return refusal;
    const segment = await input.segment();
    if (parseAppendTail(segment.reader, item, segment.literal !== undefined))
      return bad('Error in IMAP command REPLACE: Too many messages');
    const result = await transaction.commit(signal);
    const code = appendUid(result);
    if (code !== undefined) session.text(`* OK [${code}] Replacement message ready\r\n`);
    const deleted = { mode: 'add', flags: { system: flagBit.deleted, keywords: [] }, unchangedSince: undefined } as const;
    await view.store([seq], deleted, { silent: true }, signal);
    await view.expunge([uid], signal);
    session.counters.expunged += 1;
    return ok('Replace completed.');
  },
});
