// A connected stream socket that is read and written through the C library: what net.Socket is, at three fifths of its cost (polling.ts).
import { isIPv6 } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { closeDescriptor } from '#ipc/handle-pass.js';
import { type NativeFunction, openNativeLibraries } from '#util/native-calls.js';
import { type Done, PartsStream } from './parts-stream.js';
import { type Polled, type Poller, pollEvents } from './polling.js';

const flag = { dontWait: 0x40, noSignal: 0x4000, more: 0x8000 } as const;
const levelSocket = 1;
const optionType = 3;
const typeStream = 1;
const shutWriting = 1;
const family = { inet: 2, inet6: 10 } as const;
const addressBytes = 110;
/** Of one read, and of parts that are written in one call. */
const octetsAtOnce = 65_536;
/** Reads in a row from a client that sends faster than it is read; others are waiting, too. */
const maxReads = 4;

/** With the shape of what a Duplex is given, whole (open-socket.ts tells why). Its 'close' tells of errors, like a socket's. */
const options = { allowHalfOpen: false, readable: true, writable: true, autoDestroy: true, emitClose: false } as const;
const halfOpenOptions = { allowHalfOpen: true, readable: true, writable: true, autoDestroy: true, emitClose: false } as const;

interface Calls {
  readonly recv: NativeFunction;
  readonly send: NativeFunction;
  readonly shutdown: NativeFunction;
  readonly getsockopt: NativeFunction;
  readonly getsockname: NativeFunction;
  readonly getpeername: NativeFunction;
  readonly inetText: NativeFunction;
  readonly errno: () => number;
  /** Nothing here waits, so these are never in use twice. */
  readonly received: Buffer;
  readonly outgoing: Buffer;
  readonly address: Buffer;
  readonly length: Buffer;
}

let calls: Calls | undefined;

function load(): Calls {
  if (calls !== undefined) return calls;
  const native = openNativeLibraries();
  if (native === undefined) throw new TypeError('no socket without koffi');
  const libc = native.load(null);
  const octets = ['int', 'void *', 'ulong', 'int'];
  const name = ['int', 'void *', 'void *'];
  calls = {
    recv: libc.func('recv', 'long', octets),
    send: libc.func('send', 'long', octets),
    shutdown: libc.func('shutdown', 'int', ['int', 'int']),
    getsockopt: libc.func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']),
    getsockname: libc.func('getsockname', 'int', name),
    getpeername: libc.func('getpeername', 'int', name),
    inetText: libc.func('inet_ntop', 'void *', ['int', 'void *', 'void *', 'uint']),
    errno: () => native.errno(),
    received: Buffer.from(new ArrayBuffer(octetsAtOnce)),
    outgoing: Buffer.from(new ArrayBuffer(octetsAtOnce)),
    address: Buffer.from(new ArrayBuffer(addressBytes)),
    length: Buffer.from(new ArrayBuffer(4)),
  };
  return calls;
}

interface Address {
  readonly ip: string;
  readonly port: number;
}

/** Who goes on with a descriptor. */
interface Successor {
  destroy(): unknown;
  destroySoon(): unknown;
}

/** As net.Socket's: addresses of UNIX sockets are undefined, of a socket that is closed, too. */
export class SocketStream extends PartsStream implements Polled {
  readonly #calls = load();
  readonly #poller: Poller;
  #fd: number;
  readonly serial: number;
  interest = 0;
  #wantsMore = false;
  /** Since the octets that were read last. */
  #hasAsked = false;
  #isStopped = false;
  /** What the kernel had no room for, and whom to tell when it has. */
  #unsent: readonly Buffer[] | undefined;
  #sent: Done | undefined;
  #remoteAddress: Address | undefined;
  #localAddress: Address | undefined;
  /** Goes on with the descriptor. */
  #successor: Successor | undefined;

  /**
   * Takes the descriptor over.
   * @throws TypeError when it is none of a stream socket
   */
  constructor(fd: number, poller: Poller, allowHalfOpen: boolean) {
    super(allowHalfOpen ? halfOpenOptions : options);
    const { getsockopt, address, length } = this.#calls;
    length.writeUInt32LE(4);
    if (getsockopt(fd, levelSocket, optionType, address, length) < 0 || address.readInt32LE(0) !== typeStream)
      throw new TypeError(`descriptor ${fd} is no stream socket`);
    this.#poller = poller;
    this.#fd = fd;
    this.serial = poller.nextSerial();
  }

  /** -1 once it is closed, or somebody else's. */
  get fd(): number {
    return this.#fd;
  }

  get remoteAddress(): string | undefined {
    return this.#remote()?.ip;
  }
  get remotePort(): number | undefined {
    return this.#remote()?.port;
  }
  get localAddress(): string | undefined {
    return this.#local()?.ip;
  }
  get localPort(): number | undefined {
    return this.#local()?.port;
  }

  #remote(): Address | undefined {
    this.#remoteAddress ??= this.#address(this.#calls.getpeername);
    return this.#remoteAddress;
  }

  #local(): Address | undefined {
    this.#localAddress ??= this.#address(this.#calls.getsockname);
    return this.#localAddress;
  }

  /** sockaddr_in: family (16 bit), port (network order), address; sockaddr_in6: address from 8 on, scope at 24. */
  #address(ask: NativeFunction): Address | undefined {
    const { address, length, inetText } = this.#calls;
    length.writeUInt32LE(addressBytes);
    if (this.#fd < 0 || ask(this.#fd, address, length) < 0) return undefined;
    const port = address.readUInt16BE(2);
    const kind = address.readUInt16LE(0);
    if (kind === family.inet) return { ip: `${address[4]}.${address[5]}.${address[6]}.${address[7]}`, port };
    if (kind !== family.inet6) return undefined;
    const text = Buffer.alloc(64);
    inetText(kind, address.subarray(8, 24), text, text.length);
    const ip = text.toString('latin1', 0, text.indexOf(0));
    const isLinkLocal = address[8] === 0xfe && ((address[9] ?? 0) & 0xc0) === 0x80;
    return { ip: isIPv6(ip) && isLinkLocal ? `${ip}%${address.readUInt32LE(24)}` : ip, port };
  }

  /**
   * Takes the readers off and reads no further.
   * @returns what was read and nobody has taken
   */
  stopReading(): Buffer {
    this.removeAllListeners('data');
    this.removeAllListeners('readable');
    this.pause();
    this.#isStopped = true;
    const chunks: Buffer[] = [];
    for (let chunk: unknown = this.read(); Buffer.isBuffer(chunk); chunk = this.read()) chunks.push(chunk);
    this.#update();
    return Buffer.concat(chunks);
  }

  /** Undoes `stopReading`; the caller attaches a reader or calls `resume`. */
  continueReading(): void {
    this.#isStopped = false;
    this.#update();
  }

  /**
   * Gives the descriptor away, to be used in this process. From here on this is no stream any more; it is closed when its successor is, which it ends.
   * @throws TypeError when it is closed, or still has something to send, which would be lost
   */
  give(): number {
    const fd = this.#fd;
    if (fd < 0) throw new TypeError('the socket is closed');
    if (this.writableLength > 0) throw new TypeError(`the socket has ${this.writableLength} octets to send`);
    this.#poller.setInterest(this, 0);
    this.#fd = -1;
    return fd;
  }

  set successor(successor: Successor) {
    this.#successor = successor;
  }

  /** Sends what was written, then closes. */
  destroySoon(): void {
    if (this.#successor !== undefined) this.#successor.destroySoon();
    else {
      if (this.writable) this.end();
      if (this.writableFinished) this.destroy();
      else this.once('finish', () => this.destroy());
    }
  }

  override _read(): void {
    this.#wantsMore = true;
    this.#hasAsked = true;
    this.#update();
  }

  #update(): void {
    if (this.#fd < 0) return;
    const events = (this.#wantsMore && !this.#isStopped ? pollEvents.in : 0) | (this.#unsent === undefined ? 0 : pollEvents.out);
    if (events === this.interest) return;
    try {
      this.#poller.setInterest(this, events);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  onReady(events: number): void {
    // An error or a hang-up is what the next call then says.
    if ((events & ~pollEvents.out) !== 0 && this.#wantsMore && !this.#isStopped) this.#receive();
    if ((events & ~pollEvents.in) !== 0 && this.#unsent !== undefined) this.#sendRest();
  }

  #receive(): void {
    const { recv, received, errno } = this.#calls;
    for (let reads = 0; reads < maxReads && this.#fd >= 0 && this.#wantsMore && !this.#isStopped; reads += 1) {
      const count = recv(this.#fd, received, octetsAtOnce, flag.dontWait);
      if (count > 0) {
        // Who has enough asks for more later, or from within.
        this.#hasAsked = false;
        if (!this.pass(Buffer.from(received.subarray(0, count))) && !this.#hasAsked) {
          this.#wantsMore = false;
          this.#update();
        }
        if (count < octetsAtOnce) return;
      } else if (count === 0) {
        this.#wantsMore = false;
        this.#update();
        this.push(null);
      } else {
        const name = getSystemErrorName(-errno());
        if (name !== 'EAGAIN' && name !== 'EINTR') this.destroy(systemError('read', name));
        return;
      }
    }
  }

  override sendNow(parts: readonly Buffer[]): readonly Buffer[] {
    const rest = this.#trySend(parts, false);
    if (!(rest instanceof Error)) return rest ?? none;
    this.destroy(rest);
    return none;
  }

  override writeLast(parts: readonly Buffer[]): void {
    if (!this.isClear) {
      this.writeAll(parts);
      return;
    }
    const rest = this.#trySend(parts, true);
    if (rest instanceof Error) this.destroy(rest);
    else if (rest !== undefined) this.writeAll(rest);
    // Closing would do as well, but makes a reset of the end, and nothing of what waits for it, where input is left unread.
    else this.#calls.shutdown(this.#fd, shutWriting);
  }

  protected override send(parts: readonly Buffer[], done: Done): void {
    const rest = this.#trySend(parts, false);
    if (rest === undefined) done();
    else if (rest instanceof Error) done(rest);
    else {
      this.#unsent = rest;
      this.#sent = done;
      this.#update();
    }
  }

  #sendRest(): void {
    const rest = this.#unsent === undefined ? undefined : this.#trySend(this.#unsent, false);
    if (Array.isArray(rest)) {
      this.#unsent = rest;
      return;
    }
    const done = this.#sent;
    this.#unsent = undefined;
    this.#sent = undefined;
    this.#update();
    done?.(rest instanceof Error ? rest : null);
  }

  /**
   * @param hasMore more follows at once, be it the end
   * @returns what was not taken; undefined when that is nothing
   */
  #trySend(parts: readonly Buffer[], hasMore: boolean): Buffer[] | Error | undefined {
    if (this.#fd < 0) return systemError('write', 'EPIPE');
    const [first] = parts;
    if (first === undefined) return undefined;
    if (parts.length === 1) return this.#sendOne(first, hasMore);
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length <= octetsAtOnce) {
      const { outgoing } = this.#calls;
      let at = 0;
      for (const part of parts) at += part.copy(outgoing, at);
      const rest = this.#sendOne(outgoing.subarray(0, length), hasMore);
      // What waits must not be in what the next one writes to.
      return Array.isArray(rest) ? rest.map((part) => Buffer.from(part)) : rest;
    }
    for (const [index, part] of parts.entries()) {
      const rest = this.#sendOne(part, hasMore || index < parts.length - 1);
      if (Array.isArray(rest)) return [...rest, ...parts.slice(index + 1)];
      if (rest !== undefined) return rest;
    }
    return undefined;
  }

  #sendOne(octets: Buffer, hasMore: boolean): Buffer[] | Error | undefined {
    const { send, errno } = this.#calls;
    let rest = octets;
    while (rest.length > 0) {
      const count = send(this.#fd, rest, rest.length, flag.dontWait | flag.noSignal | (hasMore ? flag.more : 0));
      if (count < 0) {
        const name = getSystemErrorName(-errno());
        if (name === 'EAGAIN') return [rest];
        if (name !== 'EINTR') return systemError('write', name);
      } else if (count === rest.length) return undefined;
      else rest = rest.subarray(count);
    }
    return undefined;
  }

  override _final(done: Done): void {
    // Where both sides have ended, closing says so as well.
    if (this.#fd >= 0 && !this.readableEnded) this.#calls.shutdown(this.#fd, shutWriting);
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    const fd = this.#fd;
    if (fd >= 0) {
      this.#poller.setInterest(this, 0);
      this.#fd = -1;
      closeDescriptor(fd);
    }
    const sent = this.#sent;
    this.#unsent = undefined;
    this.#sent = undefined;
    sent?.(null);
    this.#successor?.destroy();
    done(error);
    process.nextTick(() => this.emit('close', error !== null));
  }
}

const none: readonly Buffer[] = [];

/** As Node's own: `read ECONNRESET`. */
function systemError(call: string, code: string): Error {
  return Object.assign(new Error(`${call} ${code}`), { code, syscall: call });
}
