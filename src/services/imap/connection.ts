// One client from hand-off to log line. Needs no process around it: tests build it over a pair of streams.
import type { Duplex } from 'node:stream';
import type { Logger } from '#log/logger.js';
import { StorageError } from '#storage/errors.js';
import type { Mailbox } from '#storage/mailbox.js';
import type { MailUser } from '#storage/user.js';
import { LazyAbort } from '#util/lazy-abort.js';
import { ClientStream } from './client-stream.js';
import { CommandLoop, type LoopEnd } from './command-loop.js';
import { formatLogout } from './counters.js';
import { type Fold, Folding } from './folding.js';
import { Hibernation, type PassOn } from './hibernation.js';
import { Output } from './output.js';
import { openRawLog } from './rawlog.js';
import { type IdleExit, Session } from './session.js';
import { resumeSession, type SessionState } from './session-state.js';
import type { ImapSettings } from './settings.js';

export interface ConnectionOptions {
  readonly stream: Duplex;
  readonly user: MailUser;
  readonly settings: ImapSettings;
  readonly log: Logger;
  readonly isTrusted?: boolean;
  /** ms since the epoch. */
  readonly now?: () => number;
  readonly idleTimeoutMs?: number;
  readonly stallTimeoutMs?: number;
  /** Where an idling session can go, when it may (imap_hibernate_timeout). */
  readonly passOn?: PassOn | undefined;
  /**
   * UNAUTHENTICATE: gives the stream, paused and with everything that was read ahead in it, to where its client can log in again.
   * @returns false when nobody took it; the stream is as before then
   */
  readonly goBack?: ((stream: Duplex) => Promise<boolean>) | undefined;
  /** `runningCommand` is another one. */
  readonly onCommand?: () => void;
  /** The session comes from another process, in the middle of IDLE. */
  readonly resumed?: SessionState | undefined;
  /** The session comes from a string in this process, where its mailbox is still open. */
  readonly unfolded?: Unfolded | undefined;
  /** What takes the session while it idles. */
  readonly fold?: Fold | undefined;
}

export interface Unfolded {
  readonly mailbox: Mailbox | undefined;
  /** The mailbox is the session's own concern from now on. */
  leave(): void;
}

/** Made once: an error takes down where it was made, at a cost that each log-out would pay. */
const over = new Error('the session is over');
export const defaultIdleTimeoutMs = 30 * 60_000;
const defaultStallTimeoutMs = 5 * 60_000;

export type StopReason = 'shutdown' | 'kicked' | 'queue-full' | 'idle';

const byeTexts: Readonly<Record<StopReason, string>> = {
  shutdown: '[UNAVAILABLE] Server shutting down.',
  kicked: 'Disconnected by administrator.',
  'queue-full': '[UNAVAILABLE] Connection queue full',
  idle: 'Disconnected for inactivity.',
};

export class ImapConnection {
  readonly session: Session;
  readonly #stream: ClientStream;
  readonly #output: Output;
  readonly #loop: CommandLoop;
  readonly #options: ConnectionOptions;
  readonly #abort = new LazyAbort();
  #stopReason: StopReason | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { settings } = options;
    this.#stream = new ClientStream(options.stream, {
      idleTimeoutMs: options.idleTimeoutMs ?? defaultIdleTimeoutMs,
      stallTimeoutMs: options.stallTimeoutMs ?? defaultStallTimeoutMs,
      onIdle: () => this.stop('idle'),
      rawLog: openRawLog(settings.rawlog_dir, options.log, Date.now()),
    });
    this.#stream.onClose = () => this.#abort.abort(over);
    this.#output = new Output(this.#stream);
    this.#loop = new CommandLoop({
      stream: this.#stream,
      maxLineBytes: settings.imap_max_line_length,
      isLiteralMinus: settings.imap_literal_minus,
      log: options.log,
      onCommand: options.onCommand,
    });
    this.session = new Session({
      user: options.user,
      settings,
      log: options.log,
      output: this.#output,
      input: this.#loop,
      life: this.#abort,
      now: options.now ?? Date.now,
      isTrusted: options.isTrusted ?? false,
      canUnauthenticate: options.goBack !== undefined,
    });
    if (options.resumed !== undefined) this.#stream.continueFrom(options.resumed);
    this.session.idleExit = this.#idleExit(options);
  }

  #idleExit({ settings, passOn, fold, idleTimeoutMs = defaultIdleTimeoutMs }: ConnectionOptions): IdleExit | undefined {
    // Written out: see service-kit/open-socket.ts.
    const { session } = this;
    const stream = this.#stream;
    const loop = this.#loop;
    const { imap_hibernate_timeout: hibernateMs, imap_fold_timeout: foldMs } = settings;
    if (passOn !== undefined && hibernateMs > 0 && Number.isFinite(hibernateMs))
      return new Hibernation({ session, stream, loop, passOn, idleTimeoutMs });
    if (fold !== undefined && foldMs > 0 && Number.isFinite(foldMs)) return new Folding({ session, stream, loop, fold, delayMs: foldMs });
    return undefined;
  }

  /** Sends a reply that belongs to the login (`a1 OK [CAPABILITY ...] Logged in`). Binary string. */
  greet(line: string): void {
    this.#output.text(`${line}\r\n`);
    this.#output.flush();
  }

  /** Ends the session: at once when it waits for the client, else after the command that runs. */
  stop(reason: StopReason): void {
    this.#stopReason ??= reason;
    this.#loop.requestStop();
  }

  /** Serves the client. Resolves when it is gone and everything is closed; never throws. */
  run(): Promise<void> {
    const { resumed } = this.#options;
    const running = resumed === undefined ? this.#loop.run(this.session) : this.#resume(resumed);
    // An async function that waited here would hold half a KB for each idle client.
    return running.then((end) => this.#end(end));
  }

  async #end(end: LoopEnd): Promise<void> {
    await this.session.notify?.close();
    this.session.metadataNews?.close();
    const bye = this.#byeText(end);
    if (bye !== undefined) this.#output.text(`* BYE ${bye}\r\n`);
    if (end.kind === 'logout') this.#stream.prepareEnd();
    this.#output.flush();
    try {
      await this.session.deselect();
    } catch (error) {
      this.#options.log.error('imap.close', 'Closing the mailbox failed', { error });
    }
    if (end.kind === 'left') return this.#abort.abort(over);
    this.#log(end);
    if (end.kind === 'unauthenticated' && (await this.#goBack())) return this.#abort.abort(over);
    if (bye !== undefined || end.kind === 'unauthenticated') await this.#stream.endUnasked();
    else await this.#stream.end();
    this.#abort.abort(over);
  }

  /** @returns false when the connection has to end */
  async #goBack(): Promise<boolean> {
    const ahead = this.#loop.takeAhead();
    const rest = await this.#stream.endCompression();
    const stream = this.#stream.giveAway(Buffer.concat([ahead, rest]));
    if (stream === undefined) return false;
    if (await this.#options.goBack?.(stream)) {
      this.#stream.abandon();
      return true;
    }
    this.#stream.attach();
    // RFC 8437 3: the command is never refused; what cannot be reset ends.
    this.#output.text('* BYE [UNAVAILABLE] Nobody can log in here now.\r\n');
    this.#output.flush();
    return false;
  }

  async #resume(resumed: SessionState): Promise<LoopEnd> {
    const { log, unfolded } = this.#options;
    try {
      await resumeSession(this.session, resumed, this.#abort.signal, unfolded?.mailbox);
    } catch (error) {
      if (error instanceof StorageError && error.code === 'not-found') return { kind: 'mailbox-gone' };
      if (this.#abort.isAborted) return { kind: 'closed' };
      log.error('imap.resume', `The session cannot go on: ${error instanceof Error ? error.message : String(error)}`, { error });
      return { kind: 'protocol', reason: '[UNAVAILABLE] The mailbox cannot be opened again.' };
    } finally {
      unfolded?.leave();
    }
    return this.#loop.run(this.session, resumed);
  }

  #byeText(end: LoopEnd): string | undefined {
    if (this.#stopReason !== undefined && end.kind === 'closed') return byeTexts[this.#stopReason];
    switch (end.kind) {
      case 'logout':
      case 'closed':
      case 'broken':
      case 'left':
      case 'unauthenticated':
        return undefined;
      case 'too-many-bad':
        return 'Too many invalid IMAP commands.';
      case 'mailbox-gone':
        return '[NONEXISTENT] Selected mailbox was deleted, have to disconnect.';
      case 'protocol':
        return end.reason;
    }
  }

  #reasonText(end: LoopEnd): string {
    if (end.kind === 'logout') return 'Disconnected: Logged out';
    if (end.kind === 'unauthenticated') return 'Unauthenticated';
    if (this.#stream.isStalled)
      return `Disconnected: Client did not read for ${(this.#options.stallTimeoutMs ?? defaultStallTimeoutMs) / 1000} secs`;
    if (end.kind === 'too-many-bad') return 'Disconnected: Too many invalid IMAP commands.';
    if (end.kind === 'mailbox-gone') return 'Disconnected: Selected mailbox was deleted';
    if (end.kind === 'broken') return 'Disconnected: A message could not be sent to its end';
    if (end.kind === 'protocol') return `Disconnected: ${end.reason}`;
    switch (this.#stopReason) {
      case 'idle':
        return `Disconnected: Inactivity - no input for ${(this.#options.idleTimeoutMs ?? defaultIdleTimeoutMs) / 1000} secs`;
      case 'shutdown':
        return 'Disconnected: Shutting down';
      case 'kicked':
        return 'Disconnected: Kicked by administrator';
      case 'queue-full':
        return 'Disconnected: Connection queue full';
      case undefined:
        return `Disconnected: Connection closed${this.#lastCommandText()}`;
    }
  }

  /** Dovecot's ` (FETCH finished 0.5 secs ago)`. */
  /** Name of the command that runs; undefined between commands. */
  get runningCommand(): string | undefined {
    const last = this.#loop.lastCommand;
    return last?.finishedAt === undefined ? last?.name : undefined;
  }

  #lastCommandText(): string {
    const last = this.#loop.lastCommand;
    if (last === undefined) return ' (No commands sent)';
    const secs = (ms: number): string => (ms / 1000).toFixed(3);
    return last.finishedAt === undefined
      ? ` (${last.name} running for ${secs(performance.now() - last.startedAt)} secs)`
      : ` (${last.name} finished ${secs(performance.now() - last.finishedAt)} secs ago)`;
  }

  #log(end: LoopEnd): void {
    const { counters } = this.session;
    const { bytesRead, bytesWritten } = this.#stream;
    const tail = formatLogout(this.#options.settings, { bytesRead, bytesWritten, ...counters });
    this.#options.log.info('session.end', `${this.#reasonText(end)} ${tail}`, {
      reason: end.kind,
      in: bytesRead,
      out: bytesWritten,
      ...counters,
    });
  }
}
