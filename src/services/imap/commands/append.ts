// APPEND (RFC 9051 6.3.12, RFC 3502 MULTIAPPEND, RFC 4469 CATENATE, RFC 4315 APPENDUID, RFC 7889 APPENDLIMIT).
import { type AppendItem, isAppendMessage, parseAppendItem, parseAppendMailbox, parseAppendTail } from '#protocol/imap/commands/append.js';
import { allRights } from '#storage/acl.js';
import { StorageError } from '#storage/errors.js';
import type { AppendResult, AppendTransaction, Mailbox } from '#storage/mailbox.js';
import { formatNumbers } from '#util/number-text.js';
import { messageRow } from '../command-spec.js';
import { replyToStorageError } from '../error-reply.js';
import { toFlagSet } from '../flag-text.js';
import type { MessageInput, Segment } from '../message-input.js';
import { refuseSave } from '../message-limit.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import { demandRights, isGuarded, myRights, permittedFlags } from '../rights.js';
import type { Session } from '../session.js';
import { receiveParts } from './append-catenate.js';

/** Messages in one APPEND. */
const maxMessages = 1_000;

export interface AppendTarget {
  readonly transaction: AppendTransaction;
  readonly rights: string;
}

/** @returns the target of APPEND with what the user may do there, or the reply when there is none */
export async function openTarget(
  session: Session,
  name: string,
  signal: AbortSignal,
): Promise<{ readonly mailbox: Mailbox; readonly rights: string } | Outcome> {
  try {
    const mailbox = await session.user.openMailbox(name, signal);
    if (!isGuarded(session, name)) return { mailbox, rights: allRights };
    await demandRights(session, name, 'i', signal);
    return { mailbox, rights: await myRights(session, name, signal) };
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
  const { internalDateMs } = item;
  if (item.isCatenate) {
    const writer = await transaction.add({ flags, internalDateMs, expectedBytes: undefined }, signal);
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
  const adding = transaction.add({ flags, internalDateMs, expectedBytes: literal.size }, signal);
  const writer = adding instanceof Promise ? await adding : adding;
  input.accept();
  for (;;) {
    const given = input.chunk();
    const chunk = given instanceof Promise ? await given : given;
    if (chunk === undefined) break;
    const written = writer.write(chunk);
    if (written !== undefined) await written;
  }
  await writer.end();
  session.counters.appended += 1;
  const given = input.segment();
  const next = given instanceof Promise ? await given : given;
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
  const target = await openTarget(session, name, signal);
  if ('kind' in target) return target;
  const { mailbox, rights } = target;
  const transaction = mailbox.beginAppend('append');
  let isSaved = false;
  try {
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
    isSaved = true;
    session.noteOwn(mailbox.guid, result.uids);
    return ok('Append completed.', appendUid(result, rights));
  } finally {
    // Not by `await using`: what is saved has nothing to be given up, and need not be waited for.
    if (!isSaved) await transaction.abort();
  }
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
