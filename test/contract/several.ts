// A mailbox as several processes have it: every view, append and question goes to the next one of them. They share nothing but the files.
import assert from 'node:assert/strict';
import type { Mailbox, MailboxView, SuspendedView } from '#storage/mailbox.js';

const realOf = new WeakMap<Mailbox, readonly Mailbox[]>();

/** What the processes know together: of what only grows, whoever has seen most. */
function known(mailboxes: readonly Mailbox[]): Mailbox {
  return mailboxes.reduce((best, one) => (one.highestModSeq >= best.highestModSeq && one.uidNext >= best.uidNext ? one : best));
}

/** The view of one process; a target of COPY and MOVE is opened by the same process. */
function viewOf(view: MailboxView, process: number, shown: Mailbox): MailboxView {
  return new Proxy(view, {
    get(target, key) {
      if (key === 'mailbox') return shown;
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        const passed = key === 'copy' || key === 'move' ? [given[0], realOf.get(given[1] as Mailbox)?.[process], ...given.slice(2)] : given;
        return Reflect.apply(value, target, passed);
      };
    },
  });
}

/** @param mailboxes the same one, opened by each of the processes */
export function severalProcesses(mailboxes: readonly Mailbox[]): Mailbox {
  let turn = 0;
  const next = (): readonly [Mailbox, number] => {
    const process = turn++ % mailboxes.length;
    const mailbox = mailboxes[process];
    assert.ok(mailbox);
    return [mailbox, process];
  };
  const [first] = mailboxes;
  assert.ok(first);
  const shown: Mailbox = {
    get name() {
      return first.name;
    },
    get guid() {
      return known(mailboxes).guid;
    },
    get uidValidity() {
      return known(mailboxes).uidValidity;
    },
    get uidNext() {
      return known(mailboxes).uidNext;
    },
    get highestModSeq() {
      return known(mailboxes).highestModSeq;
    },
    get isReadOnly() {
      return first.isReadOnly;
    },
    get keywords() {
      return known(mailboxes).keywords;
    },
    get canCreateKeywords() {
      return known(mailboxes).canCreateKeywords;
    },
    get watchedFolders() {
      return first.watchedFolders;
    },
    async openView(options, signal) {
      const [mailbox, process] = next();
      return viewOf(await mailbox.openView(options, signal), process, shown);
    },
    async resumeView(suspended: SuspendedView, signal) {
      const [mailbox, process] = next();
      return viewOf(await mailbox.resumeView(suspended, signal), process, shown);
    },
    status: (options, signal) => next()[0].status(options, signal),
    beginAppend: (kind, replaced) => next()[0].beginAppend(kind, replaced),
    raiseModSeq: (signal) => next()[0].raiseModSeq(signal),
    watch: (onChange) => next()[0].watch(onChange),
    hasNewsSince: (modSeq) => known(mailboxes).hasNewsSince(modSeq),
  };
  realOf.set(shown, mailboxes);
  return shown;
}
