// A client's connection with TLS 1.3 after its handshake: a stream of what the records hold, over the socket.
//
// Node's own TLS streams cannot leave their process. This one is its socket, two secrets and two counters, so that the process that has done the
// handshake can give all of it away (docs/ipc.md, "TLS"), and the one that serves the client needs nobody in between.
import type { TlsState } from '#ipc/tls-state.js';
import { Direction } from '#protocol/tls/direction.js';
import { type OpenedRecord, RecordOpener } from '#protocol/tls/opener.js';
import { alerts, contentTypes, RecordError } from '#protocol/tls/record.js';
import { parseKeyUpdate, RecordSealer } from '#protocol/tls/sealer.js';
import type { ClientSocket } from './open-socket.js';
import { type Done, PartsStream, whenTaken } from './parts-stream.js';
import { continueReading, forgetPause, stopReading } from './reading.js';
import { SocketStream } from './socket-stream.js';

/** In a row, of records that say nothing; others are as patient. */
const maxIdleRecords = 32;

/** Answers to requests for new keys wait for a client that takes nothing only below this. */
const maxUnsentBytes = 65_536;

/** With the shape of what a Duplex is given, whole (open-socket.ts tells why). */
const options = { allowHalfOpen: false, readable: true, writable: true, autoDestroy: true, emitClose: true } as const;

/** The keys of both directions, and what is left of the octets that came. */
export interface TlsParts {
  readonly received: Direction;
  readonly sent: Direction;
  readonly partial: Buffer;
}

/** @throws RangeError for a suite that is not known, or secrets that are none of it */
function partsOf({ suite, received, sent, partial }: TlsState): TlsParts {
  return {
    received: new Direction({ suite, secret: Buffer.from(received.secret, 'base64'), sequence: received.sequence }),
    sent: new Direction({ suite, secret: Buffer.from(sent.secret, 'base64'), sequence: sent.sequence }),
    partial: Buffer.from(partial, 'base64'),
  };
}

export class TlsStream extends PartsStream {
  readonly socket: ClientSocket;
  readonly #incoming: Direction;
  readonly #outgoing: Direction;
  readonly #opener: RecordOpener;
  readonly #sealer: RecordSealer;
  /** What of the parts that `send` is given next could not be sent at once: a record must not be sealed twice. */
  #sealed: readonly Buffer[] | undefined;
  #hasSaidEnd = false;
  #idleRecords = 0;
  /** The other end has said that it says nothing more (close_notify), or the connection has ended. */
  #hasEnded = false;

  /**
   * Takes the socket over: it is read as far as this has room, and ends with this.
   * @throws RangeError for a suite that is not known, or secrets that are none of it
   */
  constructor(socket: ClientSocket, tls: TlsState | TlsParts) {
    super(options);
    const { received, sent, partial } = 'suite' in tls ? partsOf(tls) : tls;
    this.socket = socket;
    this.#incoming = received;
    this.#outgoing = sent;
    this.#opener = new RecordOpener(received, partial);
    this.#sealer = new RecordSealer(this.#outgoing);
    // Its end is told by the stream, after the last words.
    socket.allowHalfOpen = true;
    socket.on('error', this.#onSocketError);
    socket.on('close', this.#onSocketClose);
    // Always comes with 'close', and without a listener it would end the process.
    this.on('error', ignore);
    this.#attach();
    if (this.#opener.rest.length > 0) this.#receive(nothing);
  }

  #attach(): void {
    this.socket.on('data', this.#onSocketData);
    this.socket.on('end', this.#onSocketEnd);
  }

  readonly #onSocketData = (octets: Buffer): void => {
    if (!this.#receive(octets)) this.socket.pause();
  };
  readonly #onSocketEnd = (): void => this.#end();
  readonly #onSocketError = (error: Error): void => void this.destroy(error);
  readonly #onSocketClose = (): void => void this.destroy();

  /** @returns false when the reader has enough */
  #receive(octets: Buffer): boolean {
    // Behind its last word there is nothing that could be believed.
    if (this.#hasEnded) return true;
    let wantsMore = true;
    try {
      this.#opener.push(octets);
      for (let record = this.#opener.next(); record !== undefined && !this.#hasEnded; record = this.#opener.next())
        wantsMore = this.#take(record) && wantsMore;
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      this.#fail(error);
    }
    return wantsMore;
  }

  #take({ type, content }: OpenedRecord): boolean {
    if (type === contentTypes.applicationData && content.length > 0) {
      this.#idleRecords = 0;
      return this.pass(content);
    }
    this.#idleRecords += 1;
    if (this.#idleRecords > maxIdleRecords) throw new RecordError('unexpectedMessage', 'too many records that say nothing');
    if (type === contentTypes.alert) this.#takeAlert(content);
    else if (type === contentTypes.handshake) this.#takeKeyUpdate(content);
    else if (type !== contentTypes.applicationData) throw new RecordError('unexpectedMessage', `a record that holds type ${type}`);
    return true;
  }

  #takeAlert(content: Buffer): void {
    const description = content[1];
    if (content.length !== 2 || description === undefined) throw new RecordError('decodeError', 'an alert of another length than two');
    this.#end();
    // All others are errors, whatever level they claim (RFC 8446 6.2); user_canceled comes before a close_notify.
    if (description !== alerts.closeNotify && description !== userCanceled) this.destroy(new Error(`TLS alert ${description}`));
  }

  #takeKeyUpdate(content: Buffer): void {
    // Nothing else comes from a client after its handshake: certificates are not asked for then.
    const update = parseKeyUpdate(content);
    if (update === undefined) throw new RecordError('unexpectedMessage', 'a handshake message after the handshake');
    this.#incoming.update();
    if (!update.isAsking || !this.socket.writable) return;
    if (this.socket.writableLength > maxUnsentBytes) throw new RecordError('internalError', 'a client that asks for keys and takes none');
    this.socket.write(this.#sealer.keyUpdate(false));
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.push(null);
  }

  #fail(error: RecordError): void {
    this.#hasEnded = true;
    if (this.socket.writable) this.socket.write(this.#sealer.alert(error.code));
    this.destroy(error);
  }

  /** The TLS as another process, or another stream, goes on with it. Nothing may be written here from then on, unless nobody did. */
  get state(): TlsState {
    const incoming = this.#incoming.state;
    const outgoing = this.#outgoing.state;
    return {
      suite: incoming.suite,
      received: { secret: incoming.secret.toString('base64'), sequence: incoming.sequence },
      sent: { secret: outgoing.secret.toString('base64'), sequence: outgoing.sequence },
      partial: this.#opener.rest.toString('base64'),
    };
  }

  /**
   * Takes the readers off, and stops reading the socket: not one octet more is read here.
   * @returns what was read and nobody has taken
   */
  stopReading(): Buffer {
    this.removeAllListeners('data');
    this.removeAllListeners('readable');
    this.pause();
    this.socket.off('end', this.#onSocketEnd);
    const received = stopReading(this.socket);
    if (received.length > 0) this.#receive(received);
    const chunks: Buffer[] = [];
    for (let chunk: unknown = this.read(); Buffer.isBuffer(chunk); chunk = this.read()) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Undoes `stopReading`; the caller attaches a reader or calls `resume`. */
  continueReading(): void {
    this.#attach();
    continueReading(this.socket);
    this.socket.resume();
  }

  /** As it was before `stopReading`. */
  async giveBack(readAhead: Buffer): Promise<void> {
    await forgetPause(this);
    if (readAhead.length > 0) this.unshift(readAhead);
    this.continueReading();
  }

  override _read(): void {
    if (this.socket.isPaused()) this.socket.resume();
  }

  override sendNow(parts: readonly Buffer[]): readonly Buffer[] {
    const { socket } = this;
    if (!(socket instanceof SocketStream) || !socket.isClear) return parts;
    const left = socket.sendNow([this.#sealer.seal(parts)]);
    if (left.length === 0) return left;
    this.#sealed = left;
    return parts;
  }

  protected override send(parts: readonly Buffer[], done: Done): void {
    const { socket } = this;
    const sealed = this.#sealed ?? [this.#sealer.seal(parts)];
    this.#sealed = undefined;
    for (const part of sealed) socket.write(part);
    whenTaken(socket, done);
  }

  override writeLast(parts: readonly Buffer[]): void {
    const { socket } = this;
    if (!(socket instanceof SocketStream) || !this.isClear || !socket.isClear) {
      this.writeAll(parts);
      return;
    }
    this.#hasSaidEnd = true;
    socket.writeLast([this.#sealer.seal(parts), this.#sealer.alert('closeNotify')]);
  }

  /**
   * Says that nothing more is said (close_notify), if the kernel takes it at once. To be destroyed then, which closes the connection.
   * @returns false when it did not: `end` is to be called
   */
  sayEnd(): boolean {
    const { socket } = this;
    if (!(socket instanceof SocketStream) || !this.isClear || !socket.isClear) return false;
    if (this.#hasSaidEnd) return true;
    const left = socket.sendNow([this.#sealer.alert('closeNotify')]);
    this.#hasSaidEnd = true;
    for (const part of left) socket.write(part);
    return left.length === 0;
  }

  override _final(done: Done): void {
    if (this.#hasSaidEnd) this.socket.end(() => done());
    else if (this.socket.writable) this.socket.end(this.#sealer.alert('closeNotify'), () => done());
    else done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.socket.destroy();
    done(error);
  }
}

const userCanceled = 90;
const nothing = Buffer.alloc(0);
const ignore = (): undefined => undefined;
