// APPEND (RFC 9051 6.3.12, RFC 3502 MULTIAPPEND, RFC 4469 CATENATE, RFC 4315 APPENDUID, RFC 7889 APPENDLIMIT).
import { type AppendItem, isAppendMessage, parseAppendItem, parseAppendMailbox, parseAppendTail } from '#protocol/imap/commands/append.js';
import { StorageError } from '#storage/errors.js';
import type { AppendResult, AppendTransaction, Mailbox, MessageWriter } from '#storage/mailbox.js';
import { formatNumbers } from '#util/number-text.js';
import { messageRow } from '../command-spec.js';
import { replyToStorageError } from '../error-reply.js';
import { toFlagSet } from '../flag-text.js';
import type { MessageInput } from '../message-input.js';
import { refuseSave } from '../message-limit.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import { demandRights, myRights, permittedFlags } from '../rights.js';
import type { Session } from '../session.js';
import { receiveParts, type Segment } from './append-catenate.js';

/** Messages in one APPEND. */
const maxMessages = 1_000;

export interface AppendTarget {
  readonly transaction: AppendTransaction;
  readonly rights: string;
}

/** Opens the target of APPEND. @returns the reply when there is none */
export async function openTarget(session: Session, name: string, signal: AbortSignal): Promise<Mailbox | Outcome> {
  try {
    const mailbox = await session.user.openMailbox(name, signal);
    await demandRights(session, name, 'i', signal);
    return mailbox;
  } catch (error) {
    if (error instanceof StorageError && error.code === 'not-found') return replyToStorageError(error, true);
    throw error;
  }
}

/**
 * Takes one message into the transaction.
 * @param target with what the user may do there: flags that may not be set are left out (RFC 4314 4)
 * @param input undefined when the command has no message literal
 * @returns where the command goes on, or the reply when the message is refused
 */
export async function receiveMessage(
  session: Session,
  { transaction, rights }: AppendTarget,
  input: MessageInput | undefined,
  item: AppendItem,
  segment: Segment,
  signal: AbortSignal,
): Promise<Segment | Outcome> {
  const { set: wanted, invalid } = toFlagSet(item.flags);
  // Clients copy \Recent along with the other flags; a server ignores it (RFC 3501 2.3.2).
  if (invalid !== undefined && invalid.toLowerCase() !== '\\recent')
    return bad(`Error in IMAP command APPEND: Invalid system flag ${invalid}`);
  const flags = permittedFlags(wanted, rights);
  const add = (expectedBytes: number | undefined): Promise<MessageWriter> =>
    transaction.add({ flags, internalDateMs: item.internalDateMs, expectedBytes }, signal);
  if (item.isCatenate) {
    const writer = await add(undefined);
    const next = await receiveParts(session, writer, input, segment, signal);
    if ('kind' in next) return next;
    await writer.end();
    session.counters.appended += 1;
    return next;
  }
  const { literal } = segment;
  if (input === undefined || literal === undefined) return segment.reader.fail('Missing message literal.');
  const limit = session.settings.imap_append_limit;
  if (limit > 0 && literal.size > limit) return no('Message is too large.', 'TOOBIG');
  if (literal.size === 0) return no("Can't save a zero byte message.");
  const writer = await add(literal.size);
  input.accept();
  for (;;) {
    const chunk = await input.chunk();
    if (chunk === undefined) break;
    await writer.write(chunk);
  }
  await writer.end();
  session.counters.appended += 1;
  const next = await input.segment();
  if (item.isUtf8) next.reader.char(')');
  return next;
}

/** The response code, or undefined: who may not open the mailbox learns nothing of it (RFC 9051 6.3.12). */
export function appendUid(result: AppendResult, rights: string): string | undefined {
  return result.uids.length === 0 || !rights.includes('r') ? undefined : `APPENDUID ${result.uidValidity} ${formatNumbers(result.uids)}`;
}

async function append(session: Session, input: MessageInput | undefined, start: Segment, signal: AbortSignal): Promise<Outcome> {
  const name = parseAppendMailbox(start.reader);
  let item = parseAppendItem(start.reader);
  const mailbox = await openTarget(session, name, signal);
  if ('kind' in mailbox) return mailbox;
  const rights = await myRights(session, name, signal);
  await using transaction = mailbox.beginAppend('append');
  let segment = start;
  for (let count = 1; ; count++) {
    const refusal = refuseSave(session, count);
    if (refusal !== undefined) return refusal;
    if (count > maxMessages) return no('Too many messages in one APPEND.', 'LIMIT');
    const next = await receiveMessage(session, { transaction, rights }, input, item, segment, signal);
    if ('kind' in next) return next;
    if (!parseAppendTail(next.reader)) break;
    segment = next;
    item = parseAppendItem(next.reader);
  }
  const result = await transaction.commit(signal);
  session.noteOwn(mailbox.guid, result.uids);
  return ok('Append completed.', appendUid(result, rights));
}

export const appendRow = messageRow({
  name: 'APPEND',
  state: 'authenticated',
  flags: [],
  isMessage: isAppendMessage,
  run: (session, input, { signal }) => append(session, input, { reader: input.head, literal: input.literal }, signal),
  // RFC 4469: a message made of URLs alone.
  runWithoutLiteral: (session, reader, { signal }) => append(session, undefined, { reader, literal: undefined }, signal),
});
