// Delivery into the mailbox of a user whom this process does not run as: a conversation in LMTP with a process of the service `deliver` that does.
//
// Octets go through BDAT (RFC 3030), so that nothing has to be stuffed or looked into. Each recipient has a conversation of its own: they may
// be different users, and the outcome of one is no business of another.
import type { Socket } from 'node:net';
import type { BeginOptions, DeliveryOutcome, Recipient, UserOpener } from '#delivery/deliver.js';
import { StorageError } from '#storage/errors.js';
import type { Delivery } from './transaction.js';

/** Longest time one reply may take; the other end gives up its lookups and locks sooner. */
const replyTimeoutMs = 5 * 60_000;
const maxReplyBytes = 8 * 1024;
const givenUp = 'the server is shutting down';

/**
 * Opens a connection to a process that runs as the user.
 * @param signal nobody waits for it any more
 * @throws Error with the reason
 */
export type OpenUserProcess = (recipient: Recipient, signal: AbortSignal) => Promise<Socket>;

interface Answer {
  readonly code: number;
  readonly text: string;
}

export interface RemoteEnvelope {
  /** As in MAIL FROM, without brackets; '' for the null sender. */
  readonly sender: string;
  readonly isUtf8: boolean;
}

export class RemoteDelivery implements Delivery {
  readonly recipient: Recipient;
  readonly isRemote = true;
  readonly #open: OpenUserProcess;
  readonly #envelope: RemoteEnvelope;
  #conversation: Conversation | undefined;
  #failure: StorageError | undefined;

  constructor(recipient: Recipient, envelope: RemoteEnvelope, open: OpenUserProcess) {
    this.recipient = recipient;
    this.#envelope = envelope;
    this.#open = open;
  }

  get failure(): StorageError | undefined {
    return this.#failure;
  }

  /** @param signal ends the wait for a process and for its answers; what was begun stays begun */
  async begin(_opener: UserOpener, options: BeginOptions, signal: AbortSignal): Promise<void> {
    if (this.#conversation !== undefined) return;
    const giveUp = (): void => this.#conversation?.giveUp();
    signal.addEventListener('abort', giveUp);
    await this.#attempt(async () => {
      const conversation = new Conversation(await this.#open(this.recipient, signal));
      this.#conversation = conversation;
      if (signal.aborted) throw new Error(givenUp);
      await conversation.expect(220);
      await conversation.say('LHLO localhost', 250);
      const size = options.expectedBytes === undefined ? '' : ` SIZE=${options.expectedBytes}`;
      await conversation.say(`MAIL FROM:<${this.#envelope.sender}>${size}${this.#envelope.isUtf8 ? ' SMTPUTF8' : ''}`, 250);
      await conversation.say(`RCPT TO:<${this.recipient.address}>`, 250);
    }).finally(() => signal.removeEventListener('abort', giveUp));
  }

  write(chunk: Buffer): Promise<void> | undefined {
    return chunk.length === 0 ? undefined : this.#attempt(() => this.#get().send(chunk, false));
  }

  /** The last octets are not announced as such before `commit`: until then the transaction may be aborted. */
  async end(): Promise<void> {
    await this.#attempt(() => this.#get().settled());
  }

  async commit(): Promise<DeliveryOutcome> {
    await this.#attempt(() => this.#get().send(Buffer.alloc(0), true));
    this.#close();
    return this.#failure === undefined ? { kind: 'saved', mailbox: this.recipient.mailbox } : { kind: 'failed', error: this.#failure };
  }

  abort(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }

  #get(): Conversation {
    if (this.#conversation === undefined) throw new Error('delivery has not begun');
    return this.#conversation;
  }

  /** A conversation that ends before the last chunk delivers nothing (RFC 3030 4.2). */
  #close(): void {
    this.#conversation?.close();
    this.#conversation = undefined;
  }

  async #attempt(step: () => Promise<unknown>): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await step();
    } catch (error) {
      this.#failure =
        error instanceof StorageError ? error : new StorageError('unavailable', `delivery failed: ${String(error)}`, { cause: error });
      this.#close();
    }
  }
}

/** Commands and replies, one after the other. */
class Conversation {
  readonly #socket: Socket;
  #received = '';
  #waiting: ((answer: Answer | Error) => void) | undefined;
  #answers: Answer[] = [];
  #lines: string[] = [];
  #end: Error | undefined;
  /** Replies to chunks that were sent and not yet looked at. */
  #owed = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#ended(error));
    // The end alone: the connection is half open until we end it, too.
    for (const event of ['end', 'close'])
      socket.on(event, () => this.#ended(new Error('the process that delivers for the user closed the connection')));
    socket.resume();
  }

  async say(line: string, wanted: number): Promise<void> {
    this.#socket.write(`${line}\r\n`);
    await this.expect(wanted);
  }

  /** Waits for the other end only when it is more than one chunk behind: reading and writing go on beside each other. */
  async send(chunk: Buffer, isLast: boolean): Promise<void> {
    this.#socket.cork();
    this.#socket.write(`BDAT ${chunk.length}${isLast ? ' LAST' : ''}\r\n`);
    const isTaken = chunk.length === 0 || this.#socket.write(chunk);
    this.#socket.uncork();
    this.#owed += 1;
    if (isLast) await this.settled();
    else if (!isTaken || this.#owed > 1) await this.#settle(1);
  }

  async settled(): Promise<void> {
    await this.#settle(0);
  }

  async #settle(atMost: number): Promise<void> {
    while (this.#owed > atMost) {
      await this.expect(250);
      this.#owed -= 1;
    }
  }

  /** @throws StorageError for another code */
  async expect(wanted: number): Promise<void> {
    const answer = await this.#next();
    if (answer.code === wanted) return;
    // What the administrator wants the sender to be told.
    const clientText = /^[45]\.2\.2 <[^>]*> (.+)$/.exec(answer.text)?.[1];
    const text = `the process that delivers for the user said: ${answer.code} ${answer.text}`;
    throw new StorageError(codeOf(answer), text, clientText === undefined ? {} : { clientText });
  }

  /** Whoever waits for an answer gets an error. */
  giveUp(): void {
    this.#socket.destroy(new Error(givenUp));
  }

  close(): void {
    this.#socket.destroy();
  }

  async #next(): Promise<Answer> {
    const known = this.#answers.shift();
    if (known !== undefined) return known;
    if (this.#end !== undefined) throw this.#end;
    const answer = await new Promise<Answer | Error>((resolve) => {
      const timer = setTimeout(() => resolve(new Error(`no reply within ${replyTimeoutMs} ms`)), replyTimeoutMs);
      this.#waiting = (given) => {
        clearTimeout(timer);
        resolve(given);
      };
    });
    this.#waiting = undefined;
    if (answer instanceof Error) throw answer;
    return answer;
  }

  #receive(text: string): void {
    const lines = (this.#received + text).split('\r\n');
    this.#received = lines.pop() ?? '';
    if (this.#received.length > maxReplyBytes || this.#lines.length > 100) this.#socket.destroy(new Error('a reply is too long'));
    for (const line of lines) {
      this.#lines.push(line.slice(4));
      if (line[3] === '-') continue;
      this.#give({ code: Number(line.slice(0, 3)), text: this.#lines.join(' ') });
      this.#lines = [];
    }
  }

  #give(answer: Answer): void {
    if (this.#waiting === undefined) this.#answers.push(answer);
    else {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting(answer);
    }
  }

  #ended(error: Error): void {
    this.#end ??= error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(this.#end);
  }
}

/** Back to what the reply was made of (outcome-reply.ts). */
function codeOf({ code, text }: Answer): StorageError['code'] {
  if (text.startsWith('5.2.2') || text.startsWith('4.2.2')) return 'over-quota';
  if (text.startsWith('5.2.3') || text.startsWith('5.3.4')) return 'too-big';
  if (text.startsWith('4.3.1')) return 'no-space';
  return code === 452 ? 'limit' : 'unavailable';
}
