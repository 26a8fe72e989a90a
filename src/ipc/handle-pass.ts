// Descriptors between processes that are not parent and child: sendmsg and recvmsg with SCM_RIGHTS on UNIX datagram sockets (unix(7)).
//
// One datagram carries one descriptor and a token, which names it in the announcement on the framed channel. The sender sends the datagram
// first, so it is there when the announcement is read, and the receiver never has to wait for it. All calls are non-blocking.
//
// Layouts are those of 64-bit little-endian Linux, the same in glibc and musl:
//   msghdr   0 name pointer, 8 name length (32 bit), 16 iovec pointer, 24 iovec count, 32 control pointer, 40 control length, 48 flags (32 bit)
//   iovec    0 base pointer, 8 length
//   cmsghdr  0 length including this header, 8 level (32 bit), 12 type (32 bit), 16 the descriptors (32 bit each)
//   sockaddr_un  0 family (16 bit), 2 path, 108 octets
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { CodedError } from '#util/coded-error.js';
import { type NativeFunction, openNativeLibraries } from '#util/native-calls.js';
import { closeOnExec, flagCmsgCloseOnExec, flagDontWait, flagNoSignal, knowsLayouts, levelSocket, typeRights } from './native-constants.js';

const addressFamilyUnix = 1;
const socketStream = 1;
const socketDatagram = 2;
const nonBlocking = 0o4000;
const duplicateCloseOnExec = 1030;
const setFlags = 4;
const flagTruncated = 0x20;

/** Longest token in octets. */
export const maxTokenBytes = 64;
const maxPathBytes = 107;
/** A full queue (net.unix.max_dgram_qlen, often 10) empties as soon as the receiver reads an announcement. */
const retryMs = 2;

/** Descriptors in flight are limited per user; Node does not name this errno. */
const tooManyReferences = 109;
const { EAGAIN, EINTR, ENOBUFS, ECONNREFUSED, ENOENT } = constants.errno;
const passingErrnos: ReadonlySet<number> = new Set([EAGAIN, EINTR, ENOBUFS, tooManyReferences]);
const goneErrnos: ReadonlySet<number> = new Set([ECONNREFUSED, ENOENT]);

/** `gone`: nobody has the socket open. `timeout`: its queue stayed full. `unavailable`: this platform has no way to do it. */
export class HandlePassError extends CodedError<'gone' | 'timeout' | 'unavailable' | 'failed'> {
  override readonly name = 'HandlePassError';
}

const at = { header: 0, vector: 64, address: 96, control: 224, payload: 256, end: 256 + maxTokenBytes } as const;

/** The calls, with the one block of memory they all use: everything here is synchronous, so it is never in use twice. */
class DescriptorCalls {
  readonly #memory: Buffer;
  readonly #base: bigint;
  readonly #header: Buffer;
  readonly #errno: () => number;
  readonly #socket: NativeFunction;
  readonly #socketpair: NativeFunction;
  readonly #bind: NativeFunction;
  readonly #fcntl: NativeFunction;
  readonly #sendmsg: NativeFunction;
  readonly #recvmsg: NativeFunction;

  constructor() {
    if (!knowsLayouts) {
      throw new HandlePassError('unavailable', `descriptors cannot be passed on ${process.platform} ${process.arch}`);
    }
    const libraries = openNativeLibraries();
    if (libraries === undefined) throw new HandlePassError('unavailable', 'koffi cannot be loaded, so descriptors cannot be passed');
    const libc = libraries.load(null);
    this.#socket = libc.func('socket', 'int', ['int', 'int', 'int']);
    this.#socketpair = libc.func('socketpair', 'int', ['int', 'int', 'int', 'void *']);
    this.#bind = libc.func('bind', 'int', ['int', 'void *', 'uint']);
    // Variadic in C; with an int as the third argument the calling conventions of these platforms do not differ.
    this.#fcntl = libc.func('fcntl', 'int', ['int', 'int', 'int']);
    this.#sendmsg = libc.func('sendmsg', 'long', ['int', 'void *', 'int']);
    this.#recvmsg = libc.func('recvmsg', 'long', ['int', 'void *', 'int']);
    this.#errno = () => libraries.errno();
    // An ArrayBuffer of its own: its memory does not move, and nothing else shares it.
    this.#memory = Buffer.from(new ArrayBuffer(at.end));
    this.#base = libraries.address(this.#memory);
    this.#header = this.#memory.subarray(at.header, at.header + 56);
    this.#memory.writeBigUInt64LE(this.#base + BigInt(at.vector), at.header + 16);
    this.#memory.writeBigUInt64LE(1n, at.header + 24);
    this.#memory.writeBigUInt64LE(this.#base + BigInt(at.control), at.header + 32);
    this.#memory.writeBigUInt64LE(this.#base + BigInt(at.payload), at.vector);
  }

  /** @returns a new datagram socket, bound when a path is given */
  open(path?: string): number {
    const fd = this.#socket(addressFamilyUnix, socketDatagram | closeOnExec | nonBlocking, 0);
    if (fd < 0) throw this.#error('socket');
    if (path === undefined) return fd;
    const length = this.#writeAddress(path);
    if (this.#bind(fd, this.#memory.subarray(at.address, at.address + length), length) < 0) {
      const error = this.#error(`bind(${path})`);
      closeDescriptor(fd);
      throw error;
    }
    return fd;
  }

  pair(): readonly [number, number] {
    const fds = this.#memory.subarray(at.payload, at.payload + 8);
    if (this.#socketpair(addressFamilyUnix, socketStream | closeOnExec | nonBlocking, 0, fds) < 0) throw this.#error('socketpair');
    return [fds.readInt32LE(0), fds.readInt32LE(4)];
  }

  block(fd: number): void {
    if (this.#fcntl(fd, setFlags, 0) < 0) throw this.#error(`fcntl(${fd})`);
  }

  duplicate(fd: number): number {
    const copy = this.#fcntl(fd, duplicateCloseOnExec, 0);
    if (copy < 0) throw this.#error(`fcntl(${fd})`);
    return copy;
  }

  /** @returns 0, or the errno */
  send(socketFd: number, path: string, fd: number, token: string): number {
    const memory = this.#memory;
    const nameLength = this.#writeAddress(path);
    const tokenLength = Buffer.byteLength(token);
    if (tokenLength === 0 || tokenLength > maxTokenBytes) throw new RangeError(`token of ${tokenLength} octets`);
    memory.write(token, at.payload);
    memory.writeBigUInt64LE(this.#base + BigInt(at.address), at.header);
    memory.writeUInt32LE(nameLength, at.header + 8);
    memory.writeBigUInt64LE(BigInt(tokenLength), at.vector + 8);
    memory.writeBigUInt64LE(24n, at.header + 40);
    memory.writeInt32LE(0, at.header + 48);
    memory.writeBigUInt64LE(20n, at.control);
    memory.writeInt32LE(levelSocket, at.control + 8);
    memory.writeInt32LE(typeRights, at.control + 12);
    memory.writeInt32LE(fd, at.control + 16);
    memory.writeInt32LE(0, at.control + 20);
    return this.#sendmsg(socketFd, this.#header, flagDontWait | flagNoSignal) < 0 ? this.#errno() : 0;
  }

  /** The next datagram: its token and all descriptors in it; undefined when the queue is empty. */
  receive(socketFd: number): { readonly token: string; readonly fds: readonly number[] } | undefined {
    const memory = this.#memory;
    memory.writeBigUInt64LE(0n, at.header);
    memory.writeUInt32LE(0, at.header + 8);
    memory.writeBigUInt64LE(BigInt(maxTokenBytes), at.vector + 8);
    memory.writeBigUInt64LE(24n, at.header + 40);
    memory.writeInt32LE(0, at.header + 48);
    const count = this.#recvmsg(socketFd, this.#header, flagDontWait | flagCmsgCloseOnExec);
    if (count < 0) {
      const errno = this.#errno();
      if (errno === constants.errno.EAGAIN || errno === constants.errno.EINTR) return undefined;
      throw this.#error('recvmsg');
    }
    const isTruncated = (memory.readInt32LE(at.header + 48) & flagTruncated) !== 0;
    return { token: isTruncated ? '' : memory.toString('latin1', at.payload, at.payload + count), fds: this.#readRights() };
  }

  #readRights(): number[] {
    const memory = this.#memory;
    const controlLength = Number(memory.readBigUInt64LE(at.header + 40));
    if (controlLength < 20) return [];
    if (memory.readInt32LE(at.control + 8) !== levelSocket || memory.readInt32LE(at.control + 12) !== typeRights) return [];
    const length = Math.min(Number(memory.readBigUInt64LE(at.control)), 24);
    const fds: number[] = [];
    for (let offset = 16; offset + 4 <= length; offset += 4) fds.push(memory.readInt32LE(at.control + offset));
    return fds;
  }

  #writeAddress(path: string): number {
    const length = Buffer.byteLength(path);
    if (length === 0 || length > maxPathBytes)
      throw new HandlePassError('failed', `socket path ${path} is longer than ${maxPathBytes} octets`);
    this.#memory.writeUInt16LE(addressFamilyUnix, at.address);
    this.#memory.write(path, at.address + 2);
    this.#memory.writeUInt8(0, at.address + 2 + length);
    // A name in the abstract namespace, which begins with a zero, has no end but its length.
    return path.startsWith('\0') ? 2 + length : 2 + length + 1;
  }

  #error(call: string): HandlePassError {
    return new HandlePassError('failed', `${call} failed: ${errnoName(this.#errno())}`);
  }
}

function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

// Opened once per process, on first use: the library and the sending socket are the process's, whoever asks first.
const opened: { calls: DescriptorCalls | HandlePassError | undefined; senderFd: number | undefined } = {
  calls: undefined,
  senderFd: undefined,
};

function getCalls(): DescriptorCalls {
  if (opened.calls === undefined) {
    try {
      opened.calls = new DescriptorCalls();
    } catch (error) {
      if (!(error instanceof HandlePassError)) throw error;
      opened.calls = error;
    }
  }
  if (opened.calls instanceof HandlePassError) throw opened.calls;
  return opened.calls;
}

/** False where login has to relay plain connections as it relays TLS. Loads the library (1 ms) on the first call. */
export function canPassDescriptors(): boolean {
  try {
    getCalls();
    return true;
  } catch {
    return false;
  }
}

/**
 * Creates the datagram socket on which a mail process will receive descriptors. The caller sets mode and owner, unlinks a stale path before,
 * and closes the returned descriptor.
 * @param path absolute, at most 107 octets
 * @throws HandlePassError `unavailable` or `failed`
 */
export function bindDescriptorSocket(path: string): number {
  return getCalls().open(path);
}

/** The socket from which descriptors are sent: another one from the next on. */
export function forgetSender(): void {
  if (opened.senderFd !== undefined) closeDescriptor(opened.senderFd);
  opened.senderFd = undefined;
}

/**
 * Sends a copy of a descriptor. The sender still owns its own.
 * @param token 1 to 64 octets of ASCII that nobody else can guess: whoever knows it could offer another descriptor in its place
 * @throws HandlePassError
 */
export async function sendDescriptor(targetPath: string, fd: number, token: string, timeoutMs: number): Promise<void> {
  const calls = getCalls();
  opened.senderFd ??= calls.open();
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const errno = calls.send(opened.senderFd, targetPath, fd, token);
    if (errno === 0) return;
    if (goneErrnos.has(errno)) throw new HandlePassError('gone', `${targetPath}: ${errnoName(errno)}`);
    if (!passingErrnos.has(errno)) {
      throw new HandlePassError('failed', `sendmsg(${targetPath}) failed: ${errnoName(errno)}`);
    }
    if (performance.now() >= deadline) {
      throw new HandlePassError('timeout', `${targetPath} took no descriptor for ${timeoutMs} ms (${errnoName(errno)})`);
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/**
 * Takes the next descriptor; undefined when none is waiting. The caller owns it. Datagrams that do not hold exactly one descriptor and a token
 * are dropped, and their descriptors closed.
 * @throws HandlePassError
 */
export function receiveDescriptor(socketFd: number): { readonly fd: number; readonly token: string } | undefined {
  for (;;) {
    const received = getCalls().receive(socketFd);
    if (received === undefined) return undefined;
    const [fd] = received.fds;
    if (fd !== undefined && received.fds.length === 1 && received.token !== '') return { fd, token: received.token };
    for (const surplus of received.fds) closeDescriptor(surplus);
  }
}

/** Closes a descriptor that nobody wants. */
export function closeDescriptor(fd: number): void {
  // A socket: nothing that could take long. In the thread pool it would cost ten times as much.
  try {
    closeSync(fd);
  } catch {
    // EBADF, and then there is nothing left to do.
  }
}

/**
 * Two connected stream sockets; the caller owns both.
 * @throws HandlePassError
 */
export function openSocketPair(): readonly [own: number, other: number] {
  return getCalls().pair();
}

/**
 * For the end of a pair that is written to synchronously.
 * @throws HandlePassError
 */
export function makeBlocking(fd: number): void {
  getCalls().block(fd);
}

/**
 * A second descriptor of the same open socket, so that a listener can be closed and opened again.
 * @throws HandlePassError
 */
export function duplicateDescriptor(fd: number): number {
  return getCalls().duplicate(fd);
}
