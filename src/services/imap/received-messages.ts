// The message literals of one command, as they come from its client. What has come with the command, which is most mail, is given without waiting.
import type { CommandDecoder, DecodeStep, MessageLiteral } from '#protocol/imap/decoder.js';
import { ImapSyntaxError } from '#protocol/imap/grammar.js';
import type { CommandReader } from '#protocol/imap/reader.js';
import { ClientGoneError, type MessageInput, type Segment } from './message-input.js';
import type { Session } from './session.js';

const goOn = '+ OK\r\n';

export interface MessageSource {
  readonly decoder: CommandDecoder;
  /** Whose client is asked to continue. */
  readonly session: Session;
  /** Gives the decoder more octets. @returns false when there will be none */
  readonly fill: () => Promise<boolean>;
}

export class ReceivedMessages implements MessageInput {
  readonly head: CommandReader;
  readonly literal: MessageLiteral;
  readonly #source: MessageSource;
  /** The literal that comes, or was announced last. */
  #current: MessageLiteral;
  #isWhole = true;

  constructor({ reader, literal }: DecodeStep & { kind: 'message' }, source: MessageSource) {
    this.head = reader;
    this.literal = literal;
    this.#current = literal;
    this.#source = source;
  }

  accept(): void {
    const { decoder, session } = this.#source;
    decoder.acceptMessage();
    this.#isWhole = false;
    if (!this.#current.isSynchronizing) return;
    session.text(goOn);
    session.output.flush();
  }

  chunk(): Buffer | undefined | Promise<Buffer | undefined> {
    if (this.#isWhole) return undefined;
    const step = this.#next();
    return step.kind === 'more' ? this.#wait().then((come) => this.#chunkOf(come)) : this.#chunkOf(step);
  }

  segment(): Segment | Promise<Segment> {
    const step = this.#next();
    return step.kind === 'more' ? this.#wait().then((come) => this.#segmentOf(come)) : this.#segmentOf(step);
  }

  #next(): DecodeStep {
    for (;;) {
      const step = this.#source.decoder.next();
      if (step.kind !== 'continue') return step;
      this.#source.session.text(goOn);
    }
  }

  async #wait(): Promise<DecodeStep> {
    for (;;) {
      if (!(await this.#source.fill())) throw new ClientGoneError('connection ended inside a message');
      const step = this.#next();
      if (step.kind !== 'more') return step;
    }
  }

  #chunkOf(step: DecodeStep): Buffer {
    if (step.kind !== 'chunk') throw new ImapSyntaxError('Unexpected input.');
    this.#isWhole = step.isLast;
    return step.octets;
  }

  #segmentOf(step: DecodeStep): Segment {
    if (step.kind === 'bad') throw new ImapSyntaxError(step.reason);
    if (step.kind !== 'segment') throw new ImapSyntaxError('Unexpected input.');
    step.reader.isUtf8 = this.#source.session.isUtf8;
    if (step.literal !== undefined) this.#current = step.literal;
    return { reader: step.reader, literal: step.literal };
  }
}
