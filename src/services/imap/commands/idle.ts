// IDLE (RFC 2177): changes are sent as they happen until the client says DONE.
import { parseNothing } from '#protocol/imap/commands/no-arguments.js';
import { StorageError } from '#storage/errors.js';
import { row } from '../command-spec.js';
import { ClientGoneError } from '../message-input.js';
import { bad, type Outcome, ok } from '../outcome.js';
import type { IdleFeed, Session } from '../session.js';
import { writeUpdates } from '../update-writer.js';

/** Writes changes one round at a time: changes that come while a round is written, or while the client reads slowly, wait for the next. */
class ChangeFeed implements IdleFeed {
  readonly #session: Session;
  #running: Promise<void> | undefined;
  #isDue = false;
  #isStopped = false;
  #isHeld = false;
  #onNews: (() => void) | undefined;
  failure: unknown;

  constructor(session: Session) {
    this.#session = session;
  }

  poke(): void {
    this.#isDue = true;
    if (this.#isHeld) this.#onNews?.();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // Nothing else waits on the session's signal while it idles: NOTIFY has its own.
      this.#session.rest();
    });
  }

  async #run(): Promise<void> {
    while (this.#isDue && !this.#isHeld && !this.#isStopped && !this.#session.isGone) {
      this.#isDue = false;
      try {
        const { signal } = this.#session;
        await this.#session.exclusive.run(async () => {
          await writeUpdates(this.#session, { allowExpunge: true }, signal);
          await this.#session.metadataNews?.write(signal);
          await this.#session.output.drain();
        });
      } catch (error) {
        this.failure = error;
        this.#isStopped = true;
      }
    }
  }

  get isQuiet(): boolean {
    return this.#running === undefined && !this.#isDue && !this.#isStopped;
  }

  async hold(onNews: () => void): Promise<void> {
    this.poke();
    await this.#running;
    this.#isHeld = true;
    this.#onNews = onNews;
  }

  release(): void {
    this.#isHeld = false;
    this.#onNews = undefined;
    if (this.#isDue) this.poke();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }
}

export const idleRow = row({
  name: 'IDLE',
  state: 'any',
  flags: ['asks-for-news'],
  parse: parseNothing,
  run(session, _command, call) {
    session.text('+ idling\r\n');
    session.output.flush();
    return runIdle(session, { tag: call.tag });
  },
});

/** `* OK Still here` while nothing else keeps middleboxes from forgetting the connection. */
class KeepAlive {
  readonly #session: Session;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** ms since the epoch; 0 never. */
  atMs = 0;

  /** @param firstAtMs ms since the epoch; undefined after the whole interval */
  constructor(session: Session, firstAtMs: number | undefined) {
    this.#session = session;
    const interval = session.settings.imap_idle_notify_interval;
    this.#intervalMs = interval > 0 && Number.isFinite(interval) ? interval : 0;
    if (this.#intervalMs === 0) return;
    const leftMs = firstAtMs === undefined || firstAtMs === 0 ? this.#intervalMs : firstAtMs - Date.now();
    this.#arm(Math.min(Math.max(0, leftMs), this.#intervalMs));
  }

  #arm(ms: number): void {
    this.atMs = Date.now() + ms;
    this.#timer = setTimeout(() => {
      this.#arm(this.#intervalMs);
      const { output, isLeaving, hasLeft } = this.#session;
      if (output.isFull || isLeaving || hasLeft) return;
      this.#session.text('* OK Still here\r\n');
      output.flush();
    }, ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

export interface IdleStart {
  readonly tag: string;
  /** Of an IDLE that goes on here: as in SessionState. */
  readonly sinceMs?: number | undefined;
  readonly keepAliveAtMs?: number | undefined;
}

/** From the continuation request on, which a resumed session has had already. @throws ClientGoneError when the session went on elsewhere */
export async function runIdle(session: Session, { tag, sinceMs = Date.now(), keepAliveAtMs }: IdleStart): Promise<Outcome> {
  const view = session.selectedView;
  const feed = new ChangeFeed(session);
  const stopWatching = view?.watch(() => feed.poke());
  const stopNews = session.metadataNews?.watch(() => feed.poke());
  // What happened since the last command belongs to the client at once.
  feed.poke();
  const keepAlive = new KeepAlive(session, keepAliveAtMs);
  const guard = session.idleExit?.begin(feed, () => ({ tag, idleSinceMs: sinceMs, keepAliveAtMs: keepAlive.atMs }));
  let line: string | undefined;
  try {
    session.isIdling = true;
    session.notify?.resume();
    view?.park();
    line = await session.input.readLine();
  } finally {
    await guard?.end();
    stopWatching?.();
    stopNews?.();
    keepAlive.stop();
    await feed.stop();
    await session.notify?.pause();
    session.isIdling = false;
  }
  if (session.hasLeft) throw new ClientGoneError('the session went on in another process');
  if (feed.failure !== undefined && !(feed.failure instanceof StorageError && feed.failure.code === 'not-found')) throw feed.failure;
  if (line === undefined) return ok('Idle ended.');
  return line.trim().toUpperCase() === 'DONE' ? ok('Idle completed.') : bad('Error in IMAP command IDLE: Expected DONE.');
}
