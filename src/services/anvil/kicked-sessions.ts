// Kicks that meet a session between two processes.
//
// A session that moves (hibernation) is announced by the process that takes it and taken back by the one that gave it away, in no certain order.
// A kick in between would reach nobody, or only the process that has just given the session away. So what left lately can still be kicked, and
// what was kicked is told so when it is announced again.
import type { Session } from './sessions.js';

/** No hand-off takes longer from the first process's word to the second one's. */
const leftMs = 5_000;
/** A hand-off that was under way at the kick has ended by then, one way or the other. */
const kickedMs = 60_000;
/** Of each kind; the oldest go. */
const maxKept = 20_000;

type Key = Pick<Session, 'ident' | 'sessionId'>;

/** Times are ms since the epoch. */
export class KickedSessions {
  /** In order of time; those before `#firstLeft` have been forgotten. A Map that is emptied from its beginning has to look for that each time. */
  #left: (Key & { readonly atMs: number })[] = [];
  #firstLeft = 0;
  readonly #kicked = new Map<string, number>();

  /** A process has taken it back: it has ended, or is on its way. */
  left({ ident, sessionId }: Key, nowMs: number): void {
    if (sessionId === '') return;
    this.#left.push({ ident, sessionId, atMs: nowMs });
    for (;;) {
      const oldest = this.#left[this.#firstLeft];
      if (oldest === undefined || (nowMs - oldest.atMs <= leftMs && this.#left.length - this.#firstLeft <= maxKept)) break;
      this.#firstLeft += 1;
    }
    if (this.#firstLeft * 2 <= this.#left.length) return;
    this.#left = this.#left.slice(this.#firstLeft);
    this.#firstLeft = 0;
  }

  /** Those that were told, and what left lately and is meant, too. */
  kicked(told: Iterable<Key>, isMeant: (session: Key) => boolean, nowMs: number): void {
    for (const session of told) this.#remember(textOf(session), nowMs);
    for (const session of this.#left.slice(this.#firstLeft)) {
      if (nowMs - session.atMs <= leftMs && isMeant(session)) this.#remember(textOf(session), nowMs);
    }
  }

  /** It is announced: has it been kicked before it arrived? */
  isKicked(session: Key, nowMs: number): boolean {
    const atMs = this.#kicked.get(textOf(session));
    return atMs !== undefined && nowMs - atMs <= kickedMs;
  }

  #remember(text: string, nowMs: number): void {
    this.#kicked.delete(text);
    this.#kicked.set(text, nowMs);
    for (const [oldest, atMs] of this.#kicked) {
      if (nowMs - atMs <= kickedMs && this.#kicked.size <= maxKept) break;
      this.#kicked.delete(oldest);
    }
  }
}

/** Neither has a tab in it. With the ident, as after UNAUTHENTICATE the next user may have the same session id. */
function textOf({ ident, sessionId }: Key): string {
  return `${sessionId}\t${ident}`;
}
