// Commands that are answered beside a long one (RFC 9051 5.5). While SEARCH, SORT or THREAD look for their result they write nothing, and the
// selected mailbox is not synced; commands that neither sync it nor read what the search reads in passing are run then, one at a time, in order.
// The first command of another kind waits, and all behind it, until the long one has replied. Nothing of the long command is written while one
// beside it is being answered.
import type { CommandDecoder, DecodeStep } from '#protocol/imap/decoder.js';
import type { ClientStream } from './client-stream.js';
import type { Session } from './session.js';

/** Most searches end before: for them nothing changes. */
const openAfterMs = 20;

type CommandStep = DecodeStep & { kind: 'command' };

export interface OverlapOptions {
  readonly stream: ClientStream;
  readonly decoder: CommandDecoder;
  /** True for commands that may be answered beside a search. Must not consume anything. */
  readonly isAllowed: (step: CommandStep) => boolean;
  /** Runs the command and writes its tagged reply. Never throws. */
  readonly answer: (session: Session, step: CommandStep) => Promise<void>;
  /** The loop ends after the command that runs. */
  readonly isStopping: () => boolean;
}

export class Overlap {
  readonly #options: OverlapOptions;
  #held: DecodeStep | undefined;
  #isOpen = false;
  #isWaiting = false;
  #isAnswering = false;

  constructor(options: OverlapOptions) {
    this.#options = options;
  }

  /** Something is being written beside the long command. */
  get isAnswering(): boolean {
    return this.#isAnswering;
  }

  /** What was read and has to wait for its turn. */
  takeHeld(): DecodeStep | undefined {
    const held = this.#held;
    this.#held = undefined;
    return held;
  }

  /** @param work writes nothing. Resolves when nothing is answered beside it any more */
  async during<Result>(session: Session, work: () => Promise<Result>): Promise<Result> {
    let reading: Promise<void> | undefined;
    const timer = setTimeout(() => {
      this.#isOpen = true;
      reading = this.#read(session);
    }, openAfterMs);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      this.#isOpen = false;
      if (this.#isWaiting) this.#options.stream.interrupt();
      await reading;
    }
  }

  async #read(session: Session): Promise<void> {
    const { stream, decoder } = this.#options;
    while (this.#isOpen && this.#held === undefined) {
      const step = decoder.next();
      if (step.kind === 'command' && this.#options.isAllowed(step)) await this.#answer(session, step);
      else if (step.kind === 'continue') {
        session.text('+ OK\r\n');
        session.output.flush();
      } else if (step.kind !== 'more') this.#held = step;
      else {
        const chunk = stream.take();
        if (chunk !== undefined) decoder.push(chunk);
        else if (stream.isAtEnd || this.#options.isStopping()) return;
        else await this.#wait();
      }
    }
  }

  async #wait(): Promise<void> {
    this.#isWaiting = true;
    await this.#options.stream.readable();
    this.#isWaiting = false;
  }

  async #answer(session: Session, step: CommandStep): Promise<void> {
    this.#isAnswering = true;
    await this.#options.answer(session, step);
    this.#isAnswering = false;
    await session.output.drain();
  }
}
