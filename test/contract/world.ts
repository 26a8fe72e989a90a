// What the storage suite needs of a format under test, and short ways to say things.
import assert from 'node:assert/strict';
import type { MailboxDriver, QuotaGuard } from '#storage/driver.js';
import { type StorageCode, StorageError } from '#storage/errors.js';
import type { AppendTransaction, Mailbox, MailboxView, MessageReader } from '#storage/mailbox.js';
import { flagBit, type Uid } from '#storage/types.js';
import { patienceMs } from '../support/patience.js';

/** One driver with empty storage of its own. */
export interface MailboxWorld extends AsyncDisposable {
  readonly driver: MailboxDriver;
  /** Each view belongs to a process of its own, which learns what others did when it looks; otherwise all to one that knows it at once. */
  readonly hasPeers?: boolean;
  /** Creates and opens. */
  create(name: string, options?: { readonly quota?: QuotaGuard }): Promise<Mailbox>;
  open(name: string, options?: { readonly quota?: QuotaGuard; readonly isReadOnly?: boolean }): Promise<Mailbox>;
  delete(name: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
}

export type MakeWorld = (options?: { readonly maxExpungeHistory?: number }) => Promise<MailboxWorld>;

export const never = new AbortController().signal;
export const { seen, answered, flagged, deleted, draft, recent } = flagBit;
export const crlfMessage = 'From: a@example.org\r\nSubject: one\r\n\r\nHello\r\n';

export interface MessageOptions {
  readonly flags?: number;
  readonly keywords?: readonly string[];
  readonly dateMs?: number;
}

/** Writes one message into the transaction. */
export async function addMessage(transaction: AppendTransaction, content: string | Buffer, options: MessageOptions = {}): Promise<void> {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  const writer = await transaction.add(
    {
      flags: { system: options.flags ?? 0, keywords: options.keywords ?? [] },
      internalDateMs: options.dateMs,
      expectedBytes: bytes.length,
    },
    never,
  );
  if (bytes.length > 0) await writer.write(bytes);
  await writer.end();
}

/** Appends one message. @returns its UID */
export async function append(mailbox: Mailbox, content: string | Buffer = crlfMessage, options: MessageOptions = {}): Promise<Uid> {
  await using transaction = mailbox.beginAppend('append');
  await addMessage(transaction, content, options);
  const [uid] = (await transaction.commit(never)).uids;
  assert.ok(uid !== undefined);
  return uid;
}

/** Appends `count` messages in one transaction. */
export async function fill(mailbox: Mailbox, count: number, options: MessageOptions = {}): Promise<readonly Uid[]> {
  await using transaction = mailbox.beginAppend('append');
  for (let index = 1; index <= count; index += 1) {
    await addMessage(transaction, `Subject: number ${index}\r\n\r\nBody of ${index}\r\n`, options);
  }
  return (await transaction.commit(never)).uids;
}

export const openView = (mailbox: Mailbox, readOnly = false): Promise<MailboxView> => mailbox.openView({ readOnly }, never);
export const sync = (view: MailboxView, allowExpunge = true): ReturnType<MailboxView['sync']> => view.sync({ allowExpunge }, never);

export function uidsOf(view: MailboxView): number[] {
  return Array.from({ length: view.count }, (_, index) => view.uidAt(index + 1));
}

/** System flags without `recent`. */
export const flagsAt = (view: MailboxView, seq: number): number => view.systemFlagsAt(seq) & ~recent;

export function addFlags(
  view: MailboxView,
  seqs: readonly number[],
  system: number,
  keywords: readonly string[] = [],
  silent = false,
): ReturnType<MailboxView['store']> {
  return view.store(seqs, { mode: 'add', flags: { system, keywords }, unchangedSince: undefined }, { silent }, never);
}

/** Marks and expunges these messages of the view; the view is not synced. */
export async function expunge(view: MailboxView, seqs: readonly number[]): Promise<void> {
  await addFlags(view, seqs, deleted, [], true);
  await view.expunge(
    seqs.map((seq) => view.uidAt(seq)),
    never,
  );
}

export async function readAll(reader: MessageReader): Promise<Buffer> {
  try {
    return await reader.read(0, reader.size);
  } finally {
    await reader.close();
  }
}

export async function contentOf(view: MailboxView, seq: number): Promise<Buffer> {
  return readAll(await view.openMessage(seq, never));
}

/** @param work what a call gave that may also have given a value at once: a failure is a promise */
export async function rejectsWith(work: unknown, code: StorageCode): Promise<void> {
  assert.ok(work instanceof Promise, `expected StorageError ${code}, got a value`);
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof StorageError, `expected StorageError ${code}, got ${String(error)}`);
    assert.equal(error.code, code);
    return true;
  });
}

/** Resolves when `watch` calls back; fails after a bounded wait. */
export function nextCall(
  watch: (onChange: () => void) => () => void,
  timeoutMs = patienceMs,
): { readonly called: Promise<void>; stop(): void } {
  let stop = (): void => undefined;
  const called = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the watch was not called')), timeoutMs);
    const unwatch = watch(() => {
      clearTimeout(timer);
      resolve();
    });
    stop = () => {
      clearTimeout(timer);
      unwatch();
    };
  });
  return { called, stop };
}

/** Lets callbacks that are already due run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
