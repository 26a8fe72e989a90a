// Runs a client's commands in order: decodes, checks the state, runs, sends updates, writes the tagged reply.
import type { Logger } from '#log/logger.js';
import { CommandDecoder, type DecodeStep, defaultDecoderLimits } from '#protocol/imap/decoder.js';
import { encodeResponseText } from '#protocol/imap/encoder.js';
import { BadCharsetError, ImapSyntaxError, MailboxNameError } from '#protocol/imap/grammar.js';
import { StorageError } from '#storage/errors.js';
import type { ClientStream } from './client-stream.js';
import { checkState, type Found, isAllowedBesideSearch, isMessageLiteral, lookUp, prepareReader } from './command-lookup.js';
import type { CommandCall } from './command-spec.js';
import { runIdle } from './commands/idle.js';
import { internalError, replyToStorageError, shouldLog } from './error-reply.js';
import { BrokenLiteralError, UnknownEncodingError } from './fetch-content.js';
import { ClientGoneError } from './message-input.js';
import { bad, no, type Outcome } from './outcome.js';
import { Overlap } from './overlap.js';
import { ReceivedMessages } from './received-messages.js';
import { UidRequiredError } from './search-plan.js';
import type { IdleTimes, Session, SessionInput, SessionNews } from './session.js';
import { writeUpdates } from './update-writer.js';

const maxBadCommands = 20;

/** Why the loop ended. */
export type LoopEnd =
  | { readonly kind: 'logout' | 'closed' | 'too-many-bad' | 'mailbox-gone' | 'broken' | 'left' | 'unauthenticated' }
  | { readonly kind: 'protocol'; readonly reason: string };

export interface CommandLoopOptions {
  readonly stream: ClientStream;
  readonly maxLineBytes: number;
  readonly isLiteralMinus: boolean;
  readonly log: Logger;
  /** `lastCommand` is another one, or has finished. */
  readonly onCommand?: (() => void) | undefined;
}

/** Command that runs or ran last, for the log. */
export interface LastCommand {
  readonly name: string;
  readonly startedAt: number;
  readonly finishedAt: number | undefined;
}

/** What is known of it; a tag at least. */
export type ResumedIdle = Pick<IdleTimes, 'tag'> & { readonly [Name in 'idleSinceMs' | 'keepAliveAtMs']?: number | undefined };

/** A command between its begin and its reply. */
interface Running {
  readonly tag: string;
  /** Undefined: there is no such command. */
  readonly found: Found | undefined;
  /** As performance.now(). */
  readonly startedAt: number;
}

export class CommandLoop implements SessionInput {
  readonly #stream: ClientStream;
  readonly #decoder: CommandDecoder;
  /** Made for the first command that others may be answered beside: most sessions have none. */
  #overlap: Overlap | undefined;
  readonly #log: Logger;
  #badCommands = 0;
  #compressRequested = false;
  #stopRequested = false;
  #isMailboxGone = false;
  #isBroken = false;
  #waitedMs = 0;
  readonly #onCommand: (() => void) | undefined;
  #lastCommand: LastCommand | undefined;

  constructor(options: CommandLoopOptions) {
    this.#stream = options.stream;
    this.#log = options.log;
    this.#onCommand = options.onCommand;
    this.#decoder = new CommandDecoder(
      {
        ...defaultDecoderLimits,
        maxLineBytes: options.maxLineBytes,
        maxLiteralBytes: options.maxLineBytes,
        isLiteralMinus: options.isLiteralMinus,
      },
      isMessageLiteral,
    );
  }

  get lastCommand(): LastCommand | undefined {
    return this.#lastCommand;
  }

  set #last(command: LastCommand | undefined) {
    this.#lastCommand = command;
    this.#onCommand?.();
  }

  get isCompressed(): boolean {
    return this.#stream.isCompressed;
  }

  compressAfterReply(): void {
    this.#compressRequested = true;
  }

  /** Octets behind the last command. */
  takeAhead(): Buffer {
    return this.#decoder.takeBuffered();
  }

  beside<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#session === undefined) return work();
    this.#overlap ??= new Overlap({
      stream: this.#stream,
      decoder: this.#decoder,
      isAllowed: ({ name, reader }) => isAllowedBesideSearch(name, reader),
      answer: (session, step) => this.#answerBeside(session, step),
      isStopping: () => this.#stopRequested,
    });
    return this.#overlap.during(this.#session, work);
  }

  get isAnsweringBeside(): boolean {
    return this.#overlap?.isAnswering ?? false;
  }

  /** Ends the loop before its next command (also in the middle of IDLE). */
  requestStop(): void {
    this.#stopRequested = true;
    this.#stream.interrupt();
  }

  /** Part of a line has come, or something behind it. */
  get isInsideInput(): boolean {
    return this.#stopRequested || this.#decoder.bufferedBytes > 0;
  }

  /** A command is being executed or received. */
  get isBusy(): boolean {
    return this.lastCommand !== undefined && this.lastCommand.finishedAt === undefined;
  }

  /** Gives the decoder what has been received. @returns false when that is nothing */
  #take(): boolean {
    const chunk = this.#stream.take();
    if (chunk !== undefined) this.#decoder.push(chunk);
    return chunk !== undefined;
  }

  get #isAtEnd(): boolean {
    return this.#stream.isAtEnd || this.#stopRequested;
  }

  /** Gets more octets. @returns false when there will be none */
  async #fill(session: Session): Promise<boolean> {
    while (!this.#take()) {
      if (this.#isAtEnd) return false;
      session.output.flush();
      const startedAt = performance.now();
      await this.#stream.readable();
      this.#waitedMs += performance.now() - startedAt;
    }
    return true;
  }

  /** By callbacks: clients that idle are many, and an async function that waits holds half a KB. */
  readLine(): Promise<string | undefined> {
    const session = this.#session;
    if (session === undefined) return Promise.resolve(undefined);
    this.#decoder.expectLine();
    return new Promise((resolve, reject) => {
      const startedAt = performance.now();
      const look = (): void => {
        try {
          const found = this.#lineOrEnd();
          if (found !== undefined) {
            this.#waitedMs += performance.now() - startedAt;
            resolve(found.line);
            return;
          }
          session.output.flush();
          this.#stream.whenReadable(look);
        } catch (error) {
          reject(error);
        }
      };
      look();
    });
  }

  /** Undefined when more octets have to come. */
  #lineOrEnd(): { readonly line: string | undefined } | undefined {
    for (;;) {
      const step = this.#decoder.next();
      if (step.kind === 'line') return { line: step.text };
      if (step.kind !== 'more') return { line: '' };
      if (!this.#take()) return this.#isAtEnd ? { line: undefined } : undefined;
    }
  }

  #session: Session | undefined;

  /**
   * Serves the client until it leaves or has to. Never throws.
   * @param idle begun before, in another process or before the session was folded
   */
  async run(session: Session, idle?: ResumedIdle): Promise<LoopEnd> {
    this.#session = session;
    if (idle !== undefined) await this.#resumeIdle(session, idle);
    for (let isFirst = idle !== undefined; ; isFirst = false) {
      if (!isFirst) {
        const step = this.#overlap?.takeHeld() ?? this.#decoder.next();
        // All waiting is done here: each async function that is on the way to an idle client costs it half a KB for as long as it waits.
        if (step.kind === 'command' || step.kind === 'message') {
          if (session.notify !== undefined) await session.notify.pause();
          const running = this.#begin(session, step.tag, step.name);
          let outcome: Outcome | undefined;
          try {
            outcome = await this.#start(session, running, step);
          } catch (error) {
            outcome = this.#replyTo(session, running.found?.row.name ?? step.name, error);
          }
          if (step.kind === 'message') this.#decoder.skipCommand();
          const finishing = this.#finish(session, running, outcome);
          if (finishing !== undefined) await finishing;
        } else if (step.kind === 'more') {
          if (!this.#take()) {
            if (this.#isAtEnd) return { kind: 'closed' };
            session.output.flush();
            await this.#stream.readable();
          }
        } else {
          const end = this.#handle(session, step);
          if (end !== undefined) return end;
        }
      }
      if (session.hasLeft) return { kind: 'left' };
      if (session.endReason !== undefined) return { kind: 'protocol', reason: session.endReason };
      if (session.isLoggingOut) return { kind: 'logout' };
      if (session.isUnauthenticated) return { kind: 'unauthenticated' };
      if (this.#isBroken) return { kind: 'broken' };
      if (this.#isMailboxGone) return { kind: 'mailbox-gone' };
      if (this.#badCommands >= maxBadCommands) return { kind: 'too-many-bad' };
    }
  }

  #handle(session: Session, step: Exclude<DecodeStep, { kind: 'command' | 'message' | 'more' }>): LoopEnd | undefined {
    switch (step.kind) {
      case 'continue':
        session.text('+ OK\r\n');
        session.output.flush();
        return undefined;
      case 'bad':
        this.#badCommands += 1;
        this.#writeBad(session, step.tag, step.name, step.reason, step.code);
        return undefined;
      case 'bye':
        return { kind: 'protocol', reason: step.reason };
      case 'chunk':
      case 'segment':
      case 'line':
        // Left over from a command that gave up on its input.
        return undefined;
    }
  }

  #writeBad(session: Session, tag: string | undefined, name: string | undefined, reason: string, code: string | undefined): void {
    const where = name === undefined ? 'Error in IMAP command received by server.' : `Error in IMAP command ${printable(name)}: ${reason}`;
    session.text(`${tag ?? '*'} BAD ${code === undefined ? '' : `[${code}] `}${encodeResponseText(where, session.isRev2)}\r\n`);
  }

  #begin(session: Session, tag: string, name: string): Running {
    const startedAt = performance.now();
    this.#last = { name, startedAt, finishedAt: undefined };
    this.#waitedMs = 0;
    session.searchesByNumber = false;
    return { tag, found: lookUp(name), startedAt };
  }

  /** @throws whatever the command throws: see `#replyTo` */
  #start(session: Session, { tag, found }: Running, step: DecodeStep & { kind: 'command' | 'message' }): Promise<Outcome> | Outcome {
    if (found === undefined) return bad(`Error in IMAP command ${printable(step.name)}: Unknown command.`);
    prepareReader(session, step.reader);
    const refusal = checkState(session, found);
    if (refusal !== undefined) return refusal;
    const call = new Call(session, tag, found.isUid);
    const { message } = found.row;
    if (step.kind === 'message' && message !== undefined) {
      const input = new ReceivedMessages(step, { decoder: this.#decoder, session, fill: () => this.#fill(session) });
      return message.run(session, input, call);
    }
    return found.row.prepare(step.reader, found.isUid)(session, call);
  }

  /** A command that runs while another one searches. The mailbox is not synced: its changes come with the reply of the search. */
  async #answerBeside(session: Session, step: DecodeStep & { kind: 'command' }): Promise<void> {
    const running = { tag: step.tag, found: lookUp(step.name), startedAt: performance.now() };
    if (running.found === undefined) return;
    let outcome: Outcome | undefined;
    try {
      outcome = await this.#start(session, running, step);
    } catch (error) {
      outcome = this.#replyTo(session, running.found.row.name, error);
    }
    if (outcome === undefined) return;
    this.#badCommands = outcome.kind === 'bad' ? this.#badCommands + 1 : 0;
    session.text(formatTagged(session, step.tag, outcome, { ranMs: performance.now() - running.startedAt, waitedMs: 0 }));
  }

  async #resumeIdle(session: Session, { tag, idleSinceMs: sinceMs, keepAliveAtMs }: ResumedIdle): Promise<void> {
    // All this time it has waited for the client.
    this.#waitedMs = sinceMs === undefined ? 0 : Math.max(0, Date.now() - sinceMs);
    const startedAt = performance.now() - this.#waitedMs;
    this.#last = { name: 'IDLE', startedAt, finishedAt: undefined };
    let outcome: Outcome | undefined;
    try {
      outcome = await runIdle(session, { tag, sinceMs, keepAliveAtMs });
    } catch (error) {
      outcome = this.#replyTo(session, 'IDLE', error);
    }
    await this.#finish(session, { tag, found: lookUp('IDLE'), startedAt }, outcome);
  }

  /** What a command has thrown, as a reply. Undefined: nobody is there to reply to. */
  #replyTo(session: Session, name: string, error: unknown): Outcome | undefined {
    if (error instanceof ClientGoneError || session.isGone) return undefined;
    if (error instanceof BrokenLiteralError) {
      this.#log.error('imap.fetch', error.message, { error });
      this.#isBroken = true;
      this.#stream.destroy();
      return undefined;
    }
    if (error instanceof ImapSyntaxError) return bad(`Error in IMAP command ${name}: ${error.message}`);
    if (error instanceof MailboxNameError) return no(error.message, 'CANNOT');
    if (error instanceof UidRequiredError) return bad(error.message, 'UIDREQUIRED');
    if (error instanceof UnknownEncodingError) return no('The encoding of this part is not known.', 'UNKNOWN-CTE');
    if (error instanceof BadCharsetError) return no(error.message, 'BADCHARSET (US-ASCII UTF-8)');
    if (error instanceof StorageError) {
      if (shouldLog(error)) this.#log.error('imap.command', `${name} failed: ${error.message}`, { error, command: name });
      return replyToStorageError(error);
    }
    this.#log.error('imap.command', `${name} failed: ${error instanceof Error ? error.message : String(error)}`, {
      error,
      command: name,
    });
    return internalError(new Date(session.now()));
  }

  /** @returns undefined when there is nothing to wait for */
  #finish(session: Session, running: Running, outcome: Outcome | undefined): Promise<void> | undefined {
    if (outcome === undefined) {
      this.#last = undefined;
      return undefined;
    }
    if (outcome.kind === 'bad') this.#badCommands += 1;
    else this.#badCommands = 0;
    const hasNews = outcome.kind !== 'bad' && (isUpdated(session, running.found) || session.metadataNews !== undefined);
    return hasNews ? this.#replyWithNews(session, running, outcome) : this.#reply(session, running, outcome);
  }

  async #replyWithNews(session: Session, running: Running, outcome: Outcome): Promise<void> {
    const { found } = running;
    if (found !== undefined && isUpdated(session, found)) await this.#update(session, found);
    if (this.#isMailboxGone) return;
    if (session.metadataNews !== undefined) await this.#writeNews(session, session.metadataNews);
    await this.#reply(session, running, outcome);
  }

  /** @returns undefined when there is nothing to wait for */
  #reply(session: Session, { tag, found, startedAt }: Running, outcome: Outcome): Promise<void> | undefined {
    const waited = this.#waitedMs;
    const ran = performance.now() - startedAt - waited;
    if (session.isUnauthenticated) {
      session.output.flush();
      this.#stream.prepareEndOfCompression();
    }
    session.text(formatTagged(session, tag, outcome, { ranMs: ran, waitedMs: waited }));
    this.#last = { name: found?.row.name ?? '?', startedAt, finishedAt: performance.now() };
    if (this.#compressRequested) {
      this.#compressRequested = false;
      session.output.flush();
      this.#stream.startCompression(this.#decoder.takeBuffered());
    } else if (session.output.isFull) return session.output.drain().then(() => resumeFeed(session));
    resumeFeed(session);
    return undefined;
  }

  async #writeNews(session: Session, news: SessionNews): Promise<void> {
    try {
      await news.write(session.signal);
    } catch (error) {
      if (session.signal.aborted) return;
      this.#log.error('imap.metadata', `Looking for changed metadata failed: ${error instanceof Error ? error.message : String(error)}`, {
        error,
      });
    }
  }

  /** Sends what changed in the mailbox, before the tagged reply. */
  async #update(session: Session, { row, isUid }: Found): Promise<void> {
    const asksForNews = row.flags.has('asks-for-news');
    try {
      const allowExpunge = (isUid && !session.searchesByNumber) || !row.flags.has('uses-sequences');
      const isOwn = row.flags.has('removes-messages');
      await writeUpdates(session, { allowExpunge, withUid: isUid, mayLag: !asksForNews, isOwn }, session.signal);
    } catch (error) {
      if (session.isGone) return;
      if (error instanceof StorageError && error.code === 'not-found') {
        this.#isMailboxGone = true;
        return;
      }
      this.#log.error('imap.sync', `Syncing the mailbox failed: ${error instanceof Error ? error.message : String(error)}`, { error });
    }
  }
}

/** Does the reply to the command come with what changed in the selected mailbox? */
function isUpdated(session: Session, found: Found | undefined): found is Found {
  if (found === undefined || !session.isSelected || found.row.flags.has('no-updates')) return false;
  return found.row.flags.has('asks-for-news') || !session.workarounds.has('delay-newmail');
}

/** NOTIFY goes on behind the reply. */
function resumeFeed(session: Session): void {
  if (!session.isUnauthenticated) session.notify?.resume();
}

/** The signal is made for commands that ask for it. */
class Call implements CommandCall {
  readonly #session: Session;
  readonly tag: string;
  readonly isUid: boolean;

  constructor(session: Session, tag: string, isUid: boolean) {
    this.#session = session;
    this.tag = tag;
    this.isUid = isUid;
  }

  get signal(): AbortSignal {
    return this.#session.signal;
  }
}

function printable(name: string): string {
  return name.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
}

const words = { ok: 'OK', no: 'NO', bad: 'BAD' } as const;

/** `a1 OK [CODE] Fetch completed (0.001 + 0.000 secs).`: seconds of work, and of waiting for the client. */
function formatTagged(
  session: Session,
  tag: string,
  outcome: Outcome,
  { ranMs, waitedMs }: { readonly ranMs: number; readonly waitedMs: number },
): string {
  const code = outcome.code === undefined ? '' : `[${outcome.code}] `;
  const text = outcome.text.endsWith('.') ? outcome.text.slice(0, -1) : outcome.text;
  return `${tag} ${words[outcome.kind]} ${code}${encodeResponseText(text, session.isRev2)} (${(ranMs / 1000).toFixed(3)} + ${(waitedMs / 1000).toFixed(3)} secs).\r\n`;
}
