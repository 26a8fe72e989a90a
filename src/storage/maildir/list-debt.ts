// Lines of dovecot-uidlist that are not durable yet, because the names of their files say the same (uid-in-name.ts).
//
// The list follows soon all the same: other programs read only the list, and where a file is gone nothing but the list keeps its UID from being given again.
import { errnoOf } from '#util/coded-error.js';
import type { SharedRun } from '#util/shared-run.js';
import type { Stamps } from '../index/index-state.js';
import { storageErrorOf } from './file-calls.js';

/** The longest that lines wait. */
const owedMs = 1000;

/** What is needed of a MaildirBox. */
export interface Indebted {
  readonly isDeleted: boolean;
  readonly disk: { readonly namesTellUids: boolean };
  readonly list: { readonly path: string };
  readonly state: { readonly stamps: Pick<Stamps, 'uidList'> };
  readonly syncList: SharedRun;
  background(work: Promise<void>, doing: string): void;
}

export class ListDebt {
  readonly #box: Indebted;
  #timer: NodeJS.Timeout | undefined;

  constructor(box: Indebted) {
    this.#box = box;
  }

  /** The list became longer, and nobody waits for it to be durable. */
  begin(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const { isDeleted, syncList } = this.#box;
      if (!isDeleted) this.#box.background(syncList.request().catch(unlessGone), 'sync the uidlist');
    }, owedMs).unref();
  }

  /**
   * To be waited for before files go: the list is durable, whichever process has appended to it.
   * @throws StorageError
   */
  async settle(): Promise<void> {
    const { disk, list, state, syncList } = this.#box;
    const sinceMs = Date.now() - state.stamps.uidList.mtimeMs;
    // Twice as long as another process waits.
    if (!disk.namesTellUids || sinceMs > 2 * owedMs) return;
    try {
      await syncList.request();
    } catch (error) {
      // Without a list there is nothing to be kept: it is written anew with all that the index knows.
      if (errnoOf(error) !== 'ENOENT') throw storageErrorOf(error, `fsync ${list.path}`);
    }
  }
}

function unlessGone(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT') throw error;
}
