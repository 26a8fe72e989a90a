// Octets between a client whose TLS ends here and the process that serves it, over one stream of a channel that many clients share.
import type { StreamEnd, StreamOwner } from '#ipc/stream-channel.js';
import type { ClientSocket } from './open-socket.js';

/** After one side has ended, how long the other may take to do so. */
const lingerMs = 30_000;

/** Stays until both sides have ended. Takes the client over with `start`; what comes from the other end before that waits. */
export class StreamRelay implements StreamOwner {
  readonly #client: ClientSocket;
  readonly #onClose: () => void;
  #end: StreamEnd | undefined;
  #isStarted = false;
  /** From the other end, before the start. */
  #early: Buffer[] = [];
  #hasEarlyEnd = false;
  #earlyClose: boolean | undefined;
  /** Given to the client, who has not taken it. */
  #unread = 0;
  #hasServiceEnded = false;
  #isServiceGone = false;
  #isClientGone = false;
  #isDone = false;
  #isHeld = false;
  #linger: NodeJS.Timeout | undefined;

  /** @param onClose called once, when neither side is open any more */
  constructor(client: ClientSocket, onClose: () => void) {
    this.#client = client;
    this.#onClose = onClose;
  }

  /** The stream, which has just been opened. */
  use(end: StreamEnd): void {
    this.#end = end;
  }

  /** The other end has taken the client. */
  start(): void {
    this.#isStarted = true;
    const client = this.#client;
    // One that has said everything and closes its side still gets its replies.
    client.allowHalfOpen = true;
    client.on('data', this.#onClientData);
    client.on('drain', this.#onClientDrain);
    client.on('end', this.#onClientEnd);
    client.on('error', ignore);
    client.on('close', this.#onClientClose);
    for (const octets of this.#early.splice(0)) this.onData(octets, true);
    if (this.#hasEarlyEnd) this.onEnd();
    if (this.#earlyClose !== undefined) this.onClose(this.#earlyClose);
    // A client that has gone meanwhile tells nobody any more.
    if (client.destroyed) this.#onClientClose(client.errored !== null);
    else client.resume();
  }

  /**
   * Another relay goes on: the client is left alone.
   * @returns what the client has said and was not sent
   */
  leave(): Buffer {
    this.#isDone = true;
    clearTimeout(this.#linger);
    const client = this.#client;
    client.off('data', this.#onClientData);
    client.off('drain', this.#onClientDrain);
    client.off('end', this.#onClientEnd);
    client.off('close', this.#onClientClose);
    return this.#end?.takeQueued() ?? Buffer.alloc(0);
  }

  /** While it is prepared to leave: what the client says from here on is not taken. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    if (isHeld) this.#client.pause();
    else this.onSent();
  }

  /** The session has gone on for long enough. */
  destroy(): void {
    this.#end?.reset();
    this.#isServiceGone = true;
    this.#client.destroy();
    this.#finish();
  }

  /** Could it be moved to another relay? */
  get isWhole(): boolean {
    return (
      this.#isStarted &&
      !this.#isDone &&
      !this.#isClientGone &&
      !this.#isServiceGone &&
      !this.#hasServiceEnded &&
      !this.#client.readableEnded
    );
  }

  get end(): StreamEnd | undefined {
    return this.#end;
  }

  get client(): ClientSocket {
    return this.#client;
  }

  readonly #onClientData = (chunk: Buffer): void => {
    if (this.#end?.write([chunk]) === false) this.#client.pause();
  };

  readonly #onClientDrain = (): void => {
    const bytes = this.#unread;
    this.#unread = 0;
    if (bytes > 0) this.#end?.taken(bytes);
  };

  readonly #onClientEnd = (): void => {
    this.#end?.end();
    this.#startLinger();
  };

  readonly #onClientClose = (hadError: boolean): void => {
    this.#isClientGone = true;
    // What was received before an orderly end is still delivered; after an error the other side must not mistake it for one.
    if (hadError) this.#end?.reset();
    else this.#end?.close();
    if (hadError) this.#isServiceGone = true;
    this.#startLinger();
    this.#finish();
  };

  onData(octets: Buffer, isLast: boolean): void {
    if (!this.#isStarted) {
      this.#early.push(octets);
      return;
    }
    if (this.#isDone || this.#isClientGone) return;
    // What was written together is encrypted together.
    if (!isLast && this.#client.writableCorked === 0) this.#client.cork();
    if (this.#client.write(octets)) this.#end?.taken(octets.length);
    else this.#unread += octets.length;
    if (isLast && this.#client.writableCorked > 0) this.#client.uncork();
  }

  onEnd(): void {
    if (!this.#isStarted) {
      this.#hasEarlyEnd = true;
      return;
    }
    this.#hasServiceEnded = true;
    if (!this.#client.writableEnded) this.#client.end();
    this.#startLinger();
  }

  onClose(isOrderly: boolean): void {
    if (!this.#isStarted) {
      this.#earlyClose = isOrderly;
      return;
    }
    this.#isServiceGone = true;
    // After its end nothing is missing, and a client that has not heard it yet may still be talking: closing now would answer with a reset,
    // which takes away what it has not read.
    if (isOrderly || this.#hasServiceEnded) this.#startLinger();
    else this.#client.destroy();
    this.#finish();
  }

  onSent(): void {
    if (this.#isStarted && !this.#isDone && !this.#isHeld) this.#client.resume();
  }

  #startLinger(): void {
    if (!this.#isDone) this.#linger ??= setTimeout(() => this.destroy(), lingerMs);
  }

  #finish(): void {
    if (this.#isDone || !this.#isServiceGone || !this.#isClientGone) return;
    this.#isDone = true;
    clearTimeout(this.#linger);
    this.#onClose();
  }
}

const ignore = (): undefined => undefined;
