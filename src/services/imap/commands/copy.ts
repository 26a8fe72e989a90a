// COPY and MOVE (RFC 9051 6.4.7, 6.4.8; RFC 4315 COPYUID; RFC 6851).
import { type CopyCommand, parseCopy } from '#protocol/imap/commands/copy.js';
import { StorageError } from '#storage/errors.js';
import type { CopyResult } from '#storage/mailbox.js';
import { numbersOf } from '#util/number-set.js';
import { formatNumbers } from '#util/number-text.js';
import { type CommandCall, row } from '../command-spec.js';
import { replyToStorageError } from '../error-reply.js';
import { type Limited, limitSeqs, refuseSave, withLimit } from '../message-limit.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import { withProgress } from '../progress.js';
import { demandRights, keptFlags, myRights } from '../rights.js';
import { countOf, type Session } from '../session.js';
import { writeUpdates } from '../update-writer.js';

/** UIDs in the order of the copies: RFC 4315 3 pairs them by position. */
function copyUid(result: CopyResult): string {
  return `COPYUID ${result.uidValidity} ${formatNumbers(result.sourceUids)} ${formatNumbers(result.targetUids)}`;
}

/** The response code of COPYUID, or undefined: who may not open the target learns nothing of it (RFC 9051 6.4.7). */
function told(result: CopyResult, rights: string): string | undefined {
  return rights.includes('r') ? copyUid(result) : undefined;
}

interface Transferred {
  readonly result: CopyResult;
  readonly code: string | undefined;
  readonly requested: number;
  readonly limited: Limited<unknown>;
}

async function transfer(
  session: Session,
  command: CopyCommand,
  call: CommandCall,
  how: 'copy' | 'move',
): Promise<Transferred | Outcome | undefined> {
  const ranges = session.resolve(command.set, call.isUid);
  if (ranges === undefined) return bad('Error in IMAP command: Invalid messageset');
  if (ranges.length === 0) return undefined;
  const { view } = session;
  const refusal =
    how === 'copy' ? refuseSave(session, countOf(ranges), (limit) => view.uidAt([...numbersOf(ranges)].at(-limit) ?? 1)) : undefined;
  if (refusal !== undefined) return refusal;
  const limited = how === 'copy' ? { part: numbersOf(ranges), code: undefined } : limitSeqs(session, view, numbersOf(ranges));
  try {
    const target = await session.user.openMailbox(command.mailbox, call.signal);
    await demandRights(session, command.mailbox, 'i', call.signal);
    if (how === 'move') await demandRights(session, view.mailbox.name, 'te', call.signal);
    const seqs = [...limited.part];
    const rights = await myRights(session, command.mailbox, call.signal);
    const result = await withProgress(session, call, () => view[how](seqs, target, call.signal, keptFlags(rights)));
    session.noteOwn(target.guid, result.targetUids);
    if (await session.isTrash(command.mailbox, call.signal)) session.counters.trashed += result.targetUids.length;
    return { result, code: told(result, rights), requested: seqs.length, limited };
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    if (error.code === 'expunged') return no('Some of the requested messages no longer exist.', 'EXPUNGEISSUED');
    if (error.code === 'not-found') return replyToStorageError(error, true);
    throw error;
  }
}

export const copyRow = row({
  name: 'COPY',
  state: 'selected',
  flags: ['has-uid-form', 'heavy'],
  parse: parseCopy,
  async run(session, command, call) {
    const result = await transfer(session, command, call, 'copy');
    if (result === undefined) return ok('No messages found.');
    if ('kind' in result) return result;
    return ok('Copy completed.', result.code);
  },
});

export const moveRow = row({
  name: 'MOVE',
  state: 'selected',
  flags: ['has-uid-form', 'heavy', 'removes-messages'],
  parse: parseCopy,
  async run(session, command, call) {
    const result = await transfer(session, command, call, 'move');
    if (result === undefined) return ok('No messages found.');
    if ('kind' in result) return result;
    // RFC 6851 4.3: COPYUID comes before the EXPUNGE responses.
    if (result.code !== undefined) session.text(`* OK [${result.code}] Moved UIDs.\r\n`);
    session.counters.expunged += result.result.sourceUids.length;
    const modSeq = session.has('QRESYNC') ? await afterExpunge(session, call) : undefined;
    // Somebody else took the others away meanwhile.
    if (result.result.sourceUids.length < result.requested) {
      if (modSeq !== undefined) session.text(`* OK [${modSeq}] Highest\r\n`);
      return withLimit(session, no('Some of the requested messages no longer exist.', 'EXPUNGEISSUED'), result.limited);
    }
    return withLimit(session, ok('Move completed.', modSeq), result.limited);
  },
});

/** Tells what went; the client takes the modseq as its new starting point (RFC 6851 4.4, RFC 7162 3.2.7). @returns the response code */
export async function afterExpunge(session: Session, { isUid, signal }: CommandCall): Promise<string> {
  await writeUpdates(session, { allowExpunge: true, withUid: isUid, isOwn: true }, signal);
  return `HIGHESTMODSEQ ${session.view.highestModSeq}`;
}
