// Where a client asks again and again for news of a mailbox in which nothing happens, the kernel is asked whether anything was noted in its folders,
// in place of looking at them each time (util/folder-signs.ts).
//
// Only while that pays: watches are taken after some looks in quick succession that found nothing, and given up when the mailbox changes between
// every few looks, or nobody looks any more. Once a second the folders are looked at all the same: a folder above them may have been renamed.
import { FolderSignSource, type FolderSigns } from '#util/folder-signs.js';

/** Looks follow each other quickly. */
const quickMs = 250;
const quickLooksBefore = 16;
const mostQuickLooksBefore = 4096;
/** Looks that watches should have spared before something happens. */
const looksThatPay = 64;
const longestMs = 1000;
const unusedMs = 5000;

export class QuietTime {
  #signs: FolderSigns | undefined;
  #beganAtMs = 0;
  #untilMs = 0;
  #looks = 0;
  #looksBefore = quickLooksBefore;
  #spared = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Nothing has happened since the last look. @param nowMs since the epoch */
  lasts(nowMs: number): boolean {
    // A clock that was set back counts as time gone by.
    if (nowMs >= this.#untilMs || nowMs < this.#beganAtMs || this.#signs === undefined || this.#signs.hasChanged()) return false;
    this.#spared += 1;
    return true;
  }

  /** The mailbox is about to be looked at. */
  beginLook(): void {
    this.#untilMs = 0;
    if (this.#signs?.reset() !== true) return;
    if (this.#spared < looksThatPay) {
      this.#looksBefore = Math.min(this.#looksBefore * 2, mostQuickLooksBefore);
      this.stop();
    }
    this.#spared = 0;
  }

  /**
   * The look has found everything as it was.
   * @param folders all whose changes a look would find
   * @param untilMs when to look again at the latest; 0: no such time
   */
  found(nowMs: number, untilMs: number, folders: () => readonly string[]): void {
    const isQuick = nowMs >= this.#beganAtMs && nowMs - this.#beganAtMs < quickMs;
    this.#beganAtMs = nowMs;
    if (this.#signs !== undefined) {
      this.#untilMs = untilMs === 0 ? nowMs + longestMs : Math.min(nowMs + longestMs, untilMs);
      return;
    }
    this.#looks = isQuick ? this.#looks + 1 : 0;
    if (this.#looks < this.#looksBefore) return;
    this.#looks = 0;
    // What happened before the watches were there, the next look finds.
    this.#signs = FolderSignSource.ofThisProcess.watch(folders());
    if (this.#signs === undefined) this.#looksBefore = mostQuickLooksBefore;
    else this.#giveUpWhenUnused();
  }

  get isWatched(): boolean {
    return this.#signs !== undefined;
  }

  stop(): void {
    this.#signs?.close();
    this.#signs = undefined;
    this.#untilMs = 0;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #giveUpWhenUnused(): void {
    let before = this.#spared;
    this.#timer = setInterval(() => {
      if (this.#spared === before) this.stop();
      before = this.#spared;
    }, unusedMs);
    this.#timer.unref();
  }
}
