// Moving a session that waits in IDLE out of this process (imap_hibernate_timeout), as soon as nothing is under way.
//
// The order matters: the folders' mtimes are taken first, then the mailbox is synced, then the state is taken, and from there on the session does
// nothing any more. Whoever watches the folders next and finds other mtimes knows that something happened in between. While no process is free to
// take it, it stays ready to serve: whatever happens then ends the attempt.
import { statSync } from 'node:fs';
import type { HoldOrder } from '#ipc/hibernation.js';
import type { PassWait } from '#service-kit/role.js';
import type { ClientStream } from './client-stream.js';
import type { CommandLoop } from './command-loop.js';
import { formatLogout } from './counters.js';
import type { IdleExit, IdleFeed, IdleGuard, IdleTimes, Session } from './session.js';
import { type SessionState, suspendSession } from './session-state.js';

/** A folder that changed within this time may change again without another mtime. */
const settlingMs = 200;
const settlingRetryMs = 1_000;
/** After a failure the next attempt waits longer, up to this many times the timeout. */
const maxBackoff = 16;

/** Passes the session on. @returns false when nobody took it; the stream is as before then */
export type PassOn = (state: SessionState, hold: HoldOrder, wait: PassWait) => Promise<boolean>;

export interface HibernationOptions {
  readonly session: Session;
  readonly stream: ClientStream;
  readonly loop: CommandLoop;
  readonly passOn: PassOn;
  readonly idleTimeoutMs: number;
}

export class Hibernation implements IdleExit {
  readonly #options: HibernationOptions;
  #backoff = 1;
  /** Of the attempt that runs. */
  #offer: AbortController | undefined;

  constructor(options: HibernationOptions) {
    this.#options = options;
  }

  /** Tries from now on, after each time in which nothing happened. */
  begin(feed: IdleFeed, times: () => IdleTimes): IdleGuard {
    const { imap_hibernate_timeout: timeoutMs } = this.#options.session.settings;
    let timer: NodeJS.Timeout | undefined;
    let running: Promise<void> = Promise.resolve();
    let isEnded = false;
    const arm = (ms: number): void => {
      if (isEnded) return;
      timer = setTimeout(() => {
        running = attempt().catch((error: unknown) => {
          this.#options.session.log.error('imap.hibernate', `Hibernation failed: ${String(error)}`, { error });
        });
      }, ms);
      timer.unref();
    };
    const attempt = async (): Promise<void> => {
      const result = await this.#attempt(feed, times, () => isEnded);
      if (result === 'settling') arm(settlingRetryMs);
      else if (result === 'stays') arm(timeoutMs * this.#backoff);
    };
    arm(timeoutMs);
    return {
      end: async () => {
        isEnded = true;
        clearTimeout(timer);
        this.#offer?.abort();
        await running;
      },
    };
  }

  /** `never`: what is selected cannot be watched from elsewhere. */
  async #attempt(feed: IdleFeed, times: () => IdleTimes, isEnded: () => boolean): Promise<'left' | 'stays' | 'settling' | 'never'> {
    const { session, stream, loop } = this.#options;
    const paths = session.selectedView?.mailbox.watchedFolders ?? [];
    if (session.selectedView !== undefined && paths.length === 0) return 'never';
    const before = foldersOf(paths);
    if (before === undefined || before.some(({ mtimeMs }) => Math.abs(Date.now() - mtimeMs) < settlingMs)) return 'settling';
    const written = stream.bytesWritten;
    const offer = new AbortController();
    const interrupt = (): void => offer.abort();
    this.#offer = offer;
    await feed.hold(interrupt);
    try {
      const after = foldersOf(paths);
      if (after === undefined || after.some(({ mtimeMs }, index) => mtimeMs !== before[index]?.mtimeMs)) return 'settling';
      if (isEnded() || stream.bytesWritten !== written || loop.isInsideInput) return 'stays';
      const { bytesRead, bytesWritten, lastInputAtMs } = stream;
      const { tag, idleSinceMs } = times();
      const state = suspendSession(session, { tag, idleSinceMs, bytesRead, bytesWritten, lastInputAtMs });
      if (state === undefined || !stream.detach(interrupt)) return 'stays';
      if (await this.#pass(state, before, offer.signal)) {
        session.hasLeft = true;
        stream.abandon();
        return 'left';
      }
      session.isLeaving = false;
      stream.attach();
      // Something happened, so the time without anything begins again.
      if (offer.signal.aborted) return 'stays';
      this.#backoff = Math.min(this.#backoff * 2, maxBackoff);
      return 'stays';
    } finally {
      this.#offer = undefined;
      feed.release();
    }
  }

  #pass(state: SessionState, folders: HoldOrder['folders'], signal: AbortSignal): Promise<boolean> {
    const { session, passOn, idleTimeoutMs } = this.#options;
    const { imap_idle_notify_interval: interval } = session.settings;
    const hold = {
      folders,
      keepAliveMs: Number.isFinite(interval) ? interval : 0,
      inactivityMs: Math.max(0, state.lastInputAtMs + idleTimeoutMs - Date.now()),
      logoutText: formatLogout(session.settings, { ...state.counters, bytesRead: state.bytesRead, bytesWritten: state.bytesWritten }),
    };
    const onFound = (): void => {
      session.isLeaving = true;
    };
    return passOn(state, hold, { signal, onFound });
  }
}

/** Undefined when one is gone: the session finds out by itself. */
function foldersOf(paths: readonly string[]): HoldOrder['folders'] | undefined {
  const folders: { path: string; mtimeMs: number }[] = [];
  for (const path of paths) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    folders.push({ path, mtimeMs: stats.mtimeMs });
  }
  return folders;
}
