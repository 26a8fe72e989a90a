// APPEND (RFC 9051 6.3.12, RFC 3502 MULTIAPPEND, RFC 4315 APPENDUID, RFC 7889 APPENDLIMIT).
import { type AppendItem, isAppendMessage, parseAppendItem, parseAppendMailbox, parseAppendTail } from '#protocol/imap/commands/append.js';
import type { MessageLiteral } from '#protocol/imap/decoder.js';
import { StorageError } from '#storage/errors.js';
import type { AppendResult, AppendTransaction, Mailbox } from '#storage/mailbox.js';
import { formatNumbers } from '#util/number-set.js';
import { messageRow } from '../command-spec.js';
import { replyToStorageError } from '../error-reply.js';
import { toFlagSet } from '../flag-text.js';
import type { MessageInput } from '../message-input.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import type { Session } from '../session.js';

/** Messages in one APPEND. */
const maxMessages = 1_000;

/** Opens the target of APPEND. @returns the reply when there is none */
export async function openTarget(session: Session, name: string, signal: AbortSignal): Promise<Mailbox | Outcome> {
  try {
    return await session.user.openMailbox(name, signal);
  } catch (error) {
    if (error instanceof StorageError && error.code === 'not-found') return replyToStorageError(error, true);
    throw error;
  }
}

/** Takes one announced message into the transaction. @returns the reply when it is refused */
export async function receiveMessage(
  session: Session,
  transaction: AppendTransaction,
  input: MessageInput,
  item: AppendItem,
  literal: MessageLiteral,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const { set: flags, invalid } = toFlagSet(item.flags);
  // Clients copy \Recent along with the other flags; a server ignores it (RFC 3501 2.3.2).
  if (invalid !== undefined && invalid.toLowerCase() !== '\\recent')
    return bad(`Error in IMAP command APPEND: Invalid system flag ${invalid}`);
  const limit = session.settings.imap_append_limit;
  if (limit > 0 && literal.size > limit) return no('Message is too large.', 'TOOBIG');
  if (literal.size === 0) return no("Can't save a zero byte message.");
  const writer = await transaction.add({ flags, internalDateMs: item.internalDateMs, expectedBytes: literal.size }, signal);
  input.accept();
  for (;;) {
    const chunk = await input.chunk();
    if (chunk === undefined) break;
    await writer.write(chunk);
  }
  await writer.end();
  session.counters.appended += 1;
  return undefined;
}

export function appendUid(result: AppendResult): string | undefined {
  return result.uids.length === 0 ? undefined : `APPENDUID ${result.uidValidity} ${formatNumbers(result.uids)}`;
}

export const appendRow = messageRow({
  name: 'APPEND',
  state: 'authenticated',
  flags: [],
  isMessage: isAppendMessage,
  async run(session, input, { signal }) {
    const name = parseAppendMailbox(input.head);
    let item = parseAppendItem(input.head);
    const mailbox = await openTarget(session, name, signal);
    if ('kind' in mailbox) return mailbox;
    await using transaction = mailbox.beginAppend('append');
    let { literal } = input;
    for (let count = 1; ; count++) {
      if (count > maxMessages) return no('Too many messages in one APPEND.', 'LIMIT');
      const refusal = await receiveMessage(session, transaction, input, item, literal, signal);
      if (refusal !== undefined) return refusal;
      const segment = await input.segment();
      if (!parseAppendTail(segment.reader, item, segment.literal !== undefined) || segment.literal === undefined) break;
      literal = segment.literal;
      item = parseAppendItem(segment.reader);
    }
    const result = await transaction.commit(signal);
    return ok('Append completed.', appendUid(result));
  },
});
