// One client in IDLE, from the imap process that gave it up to the one that takes it on.
//
// The connection is read only to notice that something came: those octets go back with it, and the imap process does what they say. Where no
// process takes it, it is offered again, after pauses that grow: for 5 minutes after a change, for 10 s from when the client waits for an answer.
// While it is on offer it is held as before, until a process was found: from then on the stream is that one's.
import { type HibernatedFields, hibernatedFields, parseHibernatedFields } from '#ipc/hibernation.js';
import type { HandoffRequest } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import { closeWhenHeard } from '#service-kit/close-when-heard.js';
import type { ClientHandle, HandedConnection, ServiceContext } from '#service-kit/role.js';
import type { FolderWatch } from './folder-watch.js';

const firstRetryMs = 100;
/** Thousands may be on offer, and each offer is a question to the master. */
const longestRetryMs = 5_000;
const longestRetryAfterInputMs = 1_000;
const giveUpAfterInputMs = 10_000;
const giveUpAfterChangeMs = 300_000;
/** Changes come in groups: several files of one delivery, a rename behind a rename. */
const gatherMs = 25;

/** What this needs of the process around it. */
export type HoldContext = Pick<ServiceContext, 'log' | 'anvil' | 'passOn'>;

/** What time is to this; tests have their own. */
export interface HoldClock {
  /** Monotonic, ms. */
  nowMs(): number;
  wait(ms: number): Promise<void>;
}

export const holdClock: HoldClock = {
  nowMs: () => performance.now(),
  wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

const byeTexts = {
  shutdown: { bye: '[UNAVAILABLE] Server shutting down.', reason: 'Shutting down' },
  kicked: { bye: 'Disconnected by administrator.', reason: 'Kicked by administrator' },
  'queue-full': { bye: '[UNAVAILABLE] Connection queue full', reason: 'Connection queue full' },
  idle: { bye: 'Disconnected for inactivity.', reason: 'Inactivity' },
} as const;

export class HeldConnection implements ClientHandle {
  readonly isPreAuth = false;
  readonly startedAtMs = Date.now();
  readonly #context: HoldContext;
  readonly #handed: HandedConnection;
  readonly #request: HandoffRequest;
  readonly #state: HibernatedFields | undefined;
  readonly #folders: FolderWatch;
  readonly #onGone: () => void;
  readonly #clock: HoldClock;
  readonly #heldSinceMs: number;
  #stopWatching: (() => void)[] = [];
  #disconnected: () => void = () => undefined;
  #nextKeepAliveMs: number;
  #stopReason: keyof typeof byeTexts | undefined;
  /** `passing`: a process was found. */
  #phase: 'held' | 'returning' | 'passing' | 'gone' = 'held';
  #gather: NodeJS.Timeout | undefined;
  #offer: Offer | undefined;
  /** The client has closed its side; seen also while the session is on offer. */
  #hasEnded = false;

  constructor(context: HoldContext, folders: FolderWatch, handed: HandedConnection, onGone: () => void, clock: HoldClock = holdClock) {
    this.#context = context;
    this.#clock = clock;
    this.#heldSinceMs = clock.nowMs();
    this.#folders = folders;
    this.#handed = handed;
    this.#request = handed.request;
    this.#onGone = onGone;
    this.#state = parseHibernatedFields(handed.request);
    const keepAliveMs = this.#state?.hold.keepAliveMs ?? 0;
    this.#nextKeepAliveMs = keepAliveMs > 0 ? this.#heldSinceMs + keepAliveMs : Number.POSITIVE_INFINITY;
  }

  start(): void {
    const { stream } = this.#handed;
    stream.on('error', () => this.#clientGone());
    if (this.#state === undefined) {
      this.#context.log.error('hibernate.invalid', 'An imap process sent something that is no idling session', {
        user: this.#request.user,
      });
      this.#end();
      return;
    }
    // A client that closes its side is gone: in IDLE it waits for nothing else. Ending our side is left to that.
    stream.allowHalfOpen = true;
    stream.on('readable', this.#onReadable);
    stream.on('end', this.#onEnd);
    stream.on('close', this.#onEnd);
    const { user, peer, sessionId } = this.#request;
    this.#disconnected = this.#context.anvil.connect({ user, remoteIp: peer.remoteIp, service: 'imap', sessionId }, () =>
      this.stop('kicked'),
    );
    for (const { path, mtimeMs } of this.#state.hold.folders) {
      this.#stopWatching.push(this.#folders.watch(path, mtimeMs, () => this.#changed()));
    }
    if (this.#hasInput()) this.#return();
  }

  stop(reason: 'shutdown' | 'kicked' | 'queue-full'): void {
    this.#stop(reason);
  }

  #stop(reason: keyof typeof byeTexts): void {
    if (this.#phase === 'gone') return;
    this.#stopReason ??= reason;
    if (this.#phase === 'held') this.#sayGoodbye(byeTexts[reason].bye, byeTexts[reason].reason);
    else this.#offer?.abort.abort();
  }

  tick(nowMs: number): void {
    if ((this.#phase !== 'held' && this.#phase !== 'returning') || this.#state === undefined) return;
    const { keepAliveMs, inactivityMs } = this.#state.hold;
    if (this.#offer?.isAwaited !== true && nowMs - this.#heldSinceMs >= inactivityMs) {
      this.#stop('idle');
      return;
    }
    if (this.#offer !== undefined && nowMs >= this.#offer.giveUpAtMs) this.#offer.abort.abort();
    if (nowMs < this.#nextKeepAliveMs) return;
    this.#nextKeepAliveMs = nowMs + keepAliveMs;
    const { stream } = this.#handed;
    // The last one is still here: the client takes nothing, and its system says nothing.
    if (stream.writableLength > 0) this.#clientGone('Client did not read');
    else stream.write('* OK Still here\r\n');
  }

  readonly #onReadable = (): void => {
    if (!this.#hasInput()) return;
    if (this.#phase === 'held') this.#return();
    else this.#offer?.heard(this.#clock.nowMs());
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    // One that is being taken just now is not ours: who has taken it sees the end, too.
    if (this.#phase === 'held') this.#clientGone();
    else this.#offer?.abort.abort();
  };

  #hasInput(): boolean {
    return this.#handed.stream.readableLength > 0;
  }

  #changed(): void {
    if (this.#phase !== 'held') return;
    this.#gather ??= setTimeout(() => this.#return(), gatherMs);
  }

  #return(): void {
    if (this.#phase !== 'held') return;
    this.#phase = 'returning';
    clearTimeout(this.#gather);
    this.#unwatch();
    this.#giveBack().catch((error: unknown) => {
      this.#context.log.error('hibernate.failed', `Session of ${this.#request.user} could not be given back: ${String(error)}`, { error });
      this.#end();
    });
  }

  async #giveBack(): Promise<void> {
    const { stream } = this.#handed;
    const state = this.#state;
    if (state === undefined) return;
    const request: HandoffRequest = { ...this.#request, service: 'imap', fields: hibernatedFields(state) };
    const offer = new Offer(this.#clock.nowMs());
    this.#offer = offer;
    for (let reason = ''; ; ) {
      if (this.#hasInput()) offer.heard(this.#clock.nowMs());
      if (!offer.abort.signal.aborted) {
        const outcome = await this.#context.passOn(this.#handed, request, { signal: offer.abort.signal, onFound: () => this.#found() });
        if (outcome.kind === 'passed') {
          this.#log.debug('session.resumed', `Given back to imap process ${outcome.pid}`);
          // One that was kicked meanwhile is kicked again, by anvil, where it is now.
          this.#end();
          return;
        }
        reason = outcome.reason;
      }
      // It may have gone while it waited.
      if (!this.#isReturning() || this.#endsNow(reason)) return;
      stream.off('readable', this.#onReadable).on('readable', this.#onReadable);
      await offer.pause(this.#clock);
    }
  }

  /** Between two offers. */
  #endsNow(reason: string): boolean {
    const stop = this.#stopReason;
    if (this.#handed.stream.destroyed || this.#hasEnded) this.#clientGone();
    else if (stop !== undefined) this.#sayGoodbye(byeTexts[stop].bye, byeTexts[stop].reason);
    else if (this.#offer !== undefined && this.#clock.nowMs() >= this.#offer.giveUpAtMs) {
      this.#log.error('hibernate.no-process', `No imap process took the session: ${reason}`);
      this.#sayGoodbye('[UNAVAILABLE] Server is busy. Try again later.', 'No free imap process');
    } else return false;
    return true;
  }

  #found(): void {
    if (this.#phase === 'returning') this.#phase = 'passing';
  }

  /** After an offer that led to nothing. */
  #isReturning(): boolean {
    if (this.#phase === 'passing') this.#phase = 'returning';
    return this.#phase === 'returning';
  }

  #clientGone(reason = 'Connection closed'): void {
    if (this.#phase === 'gone') return;
    this.#logEnd(reason);
    this.#end();
  }

  #sayGoodbye(text: string, reason: string): void {
    this.#logEnd(reason);
    const { stream } = this.#handed;
    stream.off('readable', this.#onReadable).off('end', this.#onEnd).off('close', this.#onEnd);
    stream.write(`* BYE ${text}\r\n`);
    void closeWhenHeard(stream).then(() => this.#release());
    this.#forget();
  }

  #logEnd(reason: string): void {
    const secs = ((this.#clock.nowMs() - this.#heldSinceMs) / 1000).toFixed(3);
    this.#log.info('session.end', `Disconnected: ${reason} (IDLE, hibernated for ${secs} secs) ${this.#state?.hold.logoutText ?? ''}`, {
      reason: 'hibernated',
    });
  }

  get #log(): Logger {
    const { user, sessionId, peer } = this.#request;
    return this.#context.log.child({ user, sessionId, remoteIp: peer.remoteIp }, `imap(${user})<${process.pid}><${sessionId}>: `);
  }

  #end(): void {
    this.#forget();
    this.#handed.stream.destroy();
    this.#release();
  }

  #unwatch(): void {
    for (const stop of this.#stopWatching) stop();
    this.#stopWatching = [];
  }

  #forget(): void {
    this.#phase = 'gone';
    clearTimeout(this.#gather);
    this.#unwatch();
    this.#onGone();
  }

  #release(): void {
    this.#disconnected();
    this.#handed.release();
  }
}

/** For how long a session is on offer, and how often. */
class Offer {
  readonly abort = new AbortController();
  giveUpAtMs: number;
  /** The client has said something and waits for the answer. */
  isAwaited = false;
  #retryMs = firstRetryMs;
  #wake: (() => void) | undefined;

  constructor(nowMs: number) {
    this.giveUpAtMs = nowMs + giveUpAfterChangeMs;
    this.abort.signal.addEventListener('abort', () => this.#wake?.());
  }

  /** May be told again. */
  heard(nowMs: number): void {
    if (this.isAwaited) return;
    this.isAwaited = true;
    this.giveUpAtMs = Math.min(this.giveUpAtMs, nowMs + giveUpAfterInputMs);
    this.#retryMs = firstRetryMs;
    this.#wake?.();
  }

  /** Until the next offer, the last of which is made when the time is over; less when something happens. */
  async pause(clock: HoldClock): Promise<void> {
    const ms = Math.min(this.#retryMs, Math.max(0, this.giveUpAtMs - clock.nowMs()));
    this.#retryMs = Math.min(this.#retryMs * 2, this.isAwaited ? longestRetryAfterInputMs : longestRetryMs);
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.abort.signal.aborted) resolve();
    });
    await Promise.race([clock.wait(ms), woken]);
    this.#wake = undefined;
  }
}
