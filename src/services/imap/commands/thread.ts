// THREAD (RFC 5256 BASE.6.4.THREAD).
import { baseSubject } from '#mail/base-subject.js';
import { collationKey } from '#mail/collation.js';
import { FieldSet } from '#mail/header.js';
import { sentDateMs } from '#mail/sort-key.js';
import {
  messageIds,
  orderedSubjectSteps,
  referencesOf,
  referencesSteps,
  refsSteps,
  type ThreadMessage,
  type ThreadNode,
  threadTextSteps,
} from '#mail/thread.js';
import { parseThread, type ThreadAlgorithm } from '#protocol/imap/commands/thread.js';
import type { MailboxView } from '#storage/mailbox.js';
import { runStepsInSlices, type Steps } from '#util/steps.js';
import { row } from '../command-spec.js';
import { firstFields, forEachPrepared } from '../message-headers.js';
import { limitSearch, withLimit } from '../message-limit.js';
import { ok } from '../outcome.js';
import { withProgress } from '../progress.js';
import { planSearch } from '../search-plan.js';
import type { Progress } from '../work-progress.js';

const headersOf: Readonly<Record<ThreadAlgorithm, readonly string[]>> = {
  ORDEREDSUBJECT: ['date', 'subject'],
  REFERENCES: ['date', 'in-reply-to', 'message-id', 'references', 'subject'],
  REFS: ['date', 'in-reply-to', 'message-id', 'references'],
};

const algorithms: Readonly<Record<ThreadAlgorithm, (messages: readonly ThreadMessage[]) => Steps<ThreadNode[]>>> = {
  ORDEREDSUBJECT: orderedSubjectSteps,
  REFERENCES: referencesSteps,
  REFS: refsSteps,
};

async function readMessages(
  view: MailboxView,
  seqs: readonly number[],
  { algorithm, isUid, progress }: { readonly algorithm: ThreadAlgorithm; readonly isUid: boolean; readonly progress: Progress },
  signal: AbortSignal,
): Promise<ThreadMessage[]> {
  const headers = headersOf[algorithm];
  const wanted = new FieldSet(headers);
  const messages: ThreadMessage[] = [];
  await forEachPrepared(
    view,
    seqs,
    { headers, internalDate: true },
    (seq) => {
      const fields = firstFields(view.headerFieldsAt(seq, headers), wanted);
      const subject = fields.get('subject');
      const base = subject === undefined ? undefined : baseSubject(subject);
      messages.push({
        id: isUid ? view.uidAt(seq) : seq,
        messageId: messageIds(fields.get('message-id') ?? '')[0],
        references: referencesOf(fields.get('references'), fields.get('in-reply-to')),
        subjectKey: base === undefined ? '' : collationKey(base.text),
        isReplyOrForward: base?.isReplyOrForward ?? false,
        sentMs: sentDateMs(fields.get('date'), view.internalDateAt(seq)),
      });
    },
    signal,
    progress,
  );
  return messages;
}

export const threadRow = row({
  name: 'THREAD',
  state: 'selected',
  flags: ['uses-sequences', 'has-uid-form', 'heavy'],
  parse: parseThread,
  async run(session, { algorithm, program }, call) {
    const { isUid, signal } = call;
    const { view } = session;
    if (program.usesModSeq) session.useModSeqs();
    const limited = limitSearch(session, view, planSearch(session, program));
    const messages = await withProgress(session, call, (progress) =>
      session.input.beside(async () => {
        const seqs = await view.search(limited.part, signal);
        return readMessages(view, seqs, { algorithm, isUid, progress }, signal);
      }),
    );
    const threads = await runStepsInSlices(algorithms[algorithm](messages), signal);
    const text = await runStepsInSlices(threadTextSteps(threads), signal);
    session.text(`* THREAD${text === '' ? '' : ` ${text}`}\r\n`);
    return withLimit(session, ok('Thread completed.'), limited);
  },
});
