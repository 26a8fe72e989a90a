// Making messages durable that have got their names: by an fsync of each file, of their folders, or of the uidlist alone, whatever the file system needs
// (disk-order.ts).
import { allEnded } from '#util/all-ended.js';
import type { MaildirBox } from './box.js';
import { storageErrorOf } from './file-calls.js';

/** A message's file that has to be synced once it has its name; on a file system that keeps the order another sync will do. */
export interface UnsyncedFile {
  /** Its octets may be lost until `sync` has ended. */
  readonly isNamedFirst: boolean;
  /** Makes the file and its name durable. */
  sync(): Promise<void>;
  /** Something else will. */
  release(): void;
}

/** What decides how a message is made durable. */
export interface SyncedMessage {
  readonly flags: number;
  readonly keywords: readonly string[];
  /** Something is left to be done with the file itself; undefined: it is durable, and the folder has to be synced. */
  readonly unsynced?: UnsyncedFile | undefined;
}

/** Makes the uidlist durable, and with it everything that was named before it became longer. */
export async function syncList(box: MaildirBox, messages: readonly Pick<SyncedMessage, 'unsynced'>[]): Promise<void> {
  const synced = box.syncList.request();
  for (const { unsynced } of messages) unsynced?.release();
  try {
    await synced;
  } catch (error) {
    throw storageErrorOf(error, `fsync ${box.list.path}`);
  }
}

/** Makes the names and the uidlist durable. @throws StorageError after everything has been tried */
export async function syncPlaced(box: MaildirBox, messages: readonly SyncedMessage[]): Promise<void> {
  await syncNames(box, messages, box.syncList.request());
}

/** Makes the names durable, which say the UIDs (uid-in-name.ts); the uidlist follows. */
export async function syncNumbered(box: MaildirBox, messages: readonly SyncedMessage[]): Promise<void> {
  box.listDebt.begin();
  await syncNames(box, messages);
}

/**
 * @param more what else has to be durable
 * @throws StorageError after everything has been tried
 */
export async function syncNames(box: MaildirBox, messages: readonly SyncedMessage[], more?: Promise<void>): Promise<void> {
  if (box.taken !== undefined) await box.taken;
  const syncs: Promise<void>[] = [];
  let inNew = false;
  let inCur = false;
  for (const { unsynced, flags, keywords } of messages) {
    if (unsynced !== undefined) syncs.push(unsynced.sync());
    else if (flags === 0 && keywords.length === 0) inNew = true;
    else inCur = true;
  }
  if (inNew) syncs.push(box.syncNew.request());
  if (inCur) syncs.push(box.syncCur.request());
  if (more !== undefined) syncs.push(more);
  try {
    await allEnded(syncs);
  } catch (error) {
    throw storageErrorOf(error, `fsync ${box.paths.mailDir}`);
  }
}
