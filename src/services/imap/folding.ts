// Folding: a session that idles is dropped as a whole, but for its socket and a string from which it is made again when its client says something or its
// mailbox changes (folded-sessions.ts). The same as what moves to an imap-hibernate process, without the process.
//
// Nothing is waited for between the decision and its end, so nothing can happen in between: all changes that this process has noticed are written
// (`feed.isQuiet`), and those that it notices from here on are told to who watches the mailbox for the folded ones.
import type { Mailbox } from '#storage/mailbox.js';
import type { ClientStream } from './client-stream.js';
import type { CommandLoop } from './command-loop.js';
import type { IdleExit, IdleFeed, IdleGuard, IdleTimes, Session } from './session.js';
import { type SessionState, suspendSession } from './session-state.js';

/** UIDs that are kept as ranges: where they make a longer text than this the session stays as it is. */
const maxRanges = 2_000;

/**
 * Takes the stream, whose errors and input are its to hear from now on.
 * @param mailbox the selected one
 */
export type Fold = (state: SessionState, mailbox: Mailbox | undefined) => void;

export interface FoldingOptions {
  readonly session: Session;
  readonly stream: ClientStream;
  readonly loop: CommandLoop;
  readonly fold: Fold;
  /** Without anything said or written. */
  readonly delayMs: number;
}

const nothing: IdleGuard = { end: () => Promise.resolve() };

export class Folding implements IdleExit {
  readonly #options: FoldingOptions;

  constructor(options: FoldingOptions) {
    this.#options = options;
  }

  begin(feed: IdleFeed, times: () => IdleTimes): IdleGuard {
    const { session, stream, delayMs } = this.#options;
    // What keeps a session as it is does not change while it idles.
    if (session.notify !== undefined || session.metadataNews !== undefined || stream.isCompressed || stream.isLogged) return nothing;
    let written = stream.bytesWritten;
    const timer = setTimeout(() => {
      const isUnchanged = stream.bytesWritten === written;
      written = stream.bytesWritten;
      if (!isUnchanged || !this.#fold(feed, times)) timer.refresh();
    }, delayMs);
    timer.unref();
    return {
      end: () => {
        clearTimeout(timer);
        return Promise.resolve();
      },
    };
  }

  #fold(feed: IdleFeed, times: () => IdleTimes): boolean {
    const { session, stream, loop, fold } = this.#options;
    if (!feed.isQuiet || loop.isInsideInput || session.savedSearch.length > maxRanges) return false;
    const view = session.selectedView;
    const { bytesRead, bytesWritten, lastInputAtMs } = stream;
    const state = suspendSession(session, { ...times(), bytesRead, bytesWritten, lastInputAtMs });
    if (state === undefined || (state.selected?.view.uids.length ?? 0) > maxRanges) return false;
    if (state.selected !== undefined && view?.mailbox.hasNewsSince(state.selected.view.highestModSeq) !== false) return false;
    if (!stream.detach(ignore)) return false;
    try {
      fold(state, view?.mailbox);
    } catch (error) {
      // Nobody has taken the stream: the session goes on as it is, and is left alone.
      session.log.error('imap.fold', `An idling session cannot be folded: ${String(error)}`, { error });
      stream.attach();
      return true;
    }
    view?.park();
    session.hasLeft = true;
    stream.letGo();
    return true;
  }
}

const ignore = (): undefined => undefined;
