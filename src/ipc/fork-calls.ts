// fork(2) for processes of Node, and descriptors along with a request for it. The calls that a template process (service-kit/template-process.ts)
// and its master need, and nothing else.
//
// What a copy of a Node process lacks are its other threads: V8 must have been started with --single-threaded, so that none of them does any
// work for it, and must not count on waking them (waited-conditions.ts). libuv is told of the fork (uv_loop_fork). The copy must not leave through exit(3), which waits for those threads: `exit` is _exit.
//
// A request is one message on a connected stream socket: 8 octets (what it is, 32 bit; a number, 32 bit), and descriptors beside it. The kernel
// never joins messages that carry descriptors, so each read takes one whole request.
//
// Layouts are those of 64-bit little-endian Linux, the same in glibc and musl:
//   msghdr   0 name pointer, 8 name length (32 bit), 16 iovec pointer, 24 iovec count, 32 control pointer, 40 control length, 48 flags (32 bit)
//   iovec    0 base pointer, 8 length
//   cmsghdr  0 length including this header, 8 level (32 bit), 12 type (32 bit), 16 the descriptors (32 bit each)
//   pollfd   0 descriptor (32 bit), 4 events (16 bit), 6 what happened (16 bit)
import { constants } from 'node:os';
import { CodedError } from '#util/coded-error.js';
import { type NativeFunction, type NativeLibraries, openNativeLibraries } from '#util/native-calls.js';
import { closeOnExec, flagCmsgCloseOnExec, flagDontWait, flagNoSignal, knowsLayouts, levelSocket, typeRights } from './native-constants.js';
import { flagBits, type WaitedCondition, waitedConditions, waitersAt } from './waited-conditions.js';

/** Most descriptors of a request: the control channel, the log, and two private sockets. */
export const maxRequestFds = 4;
const requestBytes = 8;

const pollIn = 1;
const withoutWaiting = 1;
const inheritOnFork = 11;
const readOnly = 0;
const readWrite = 2;
const killSignal = 9;
const { EAGAIN, EINTR } = constants.errno;

export class ForkError extends CodedError<'unavailable' | 'failed'> {
  override readonly name = 'ForkError';
}

export interface ForkRequest {
  readonly kind: number;
  readonly id: number;
  /** Owned by whoever received them. */
  readonly fds: readonly number[];
}

/** `ended`: the other side has closed. */
export type TemplateEvent =
  | { readonly kind: 'request'; readonly request: ForkRequest }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'ended' };

const at = { header: 0, vector: 64, control: 96, payload: 160, poll: 176, status: 192, end: 256 } as const;

/** No process of ours has more descriptors open before it has met anybody; those of a parent's shell may lie higher. */
const maxListedFd = 1_024;
const nothing = '/dev/null';
const maxLinkBytes = 512;

/** Sends requests. */
export class ForkRequests {
  readonly #memory: Buffer;
  readonly #sendmsg: NativeFunction;

  /** @throws ForkError `unavailable` */
  constructor() {
    const libraries = open();
    this.#memory = requestMemory(libraries);
    this.#sendmsg = libraries.load(null).func('sendmsg', 'long', ['int', 'void *', 'int']);
  }

  /**
   * Never waits. The caller still owns its descriptors.
   * @returns whether it was sent: not when the other side is gone, or has not read for long
   */
  send(socketFd: number, { kind, id, fds }: ForkRequest): boolean {
    if (fds.length > maxRequestFds) throw new RangeError(`${fds.length} descriptors`);
    const memory = this.#memory;
    memory.writeUInt32LE(kind, at.payload);
    memory.writeUInt32LE(id, at.payload + 4);
    const length = fds.length === 0 ? 0 : 16 + 4 * fds.length;
    memory.writeBigUInt64LE(BigInt(Math.ceil(length / 8) * 8), at.header + 40);
    memory.writeBigUInt64LE(BigInt(length), at.control);
    memory.writeInt32LE(levelSocket, at.control + 8);
    memory.writeInt32LE(typeRights, at.control + 12);
    for (const [index, fd] of fds.entries()) memory.writeInt32LE(fd, at.control + 16 + 4 * index);
    return this.#sendmsg(socketFd, memory, flagDontWait | flagNoSignal) === requestBytes;
  }
}

/** Receives requests, forks, and sees its children end. For one process that does nothing else. */
export class ForkCalls {
  readonly #memory: Buffer;
  readonly #libc: Readonly<Record<Call, NativeFunction>>;
  readonly #loop: number;
  readonly #errno: () => number;
  readonly #maps = Buffer.alloc(256 * 1024);
  /** Reading and writing four octets anywhere. */
  readonly #peek: NativeFunction;
  readonly #poke: NativeFunction;
  readonly #listFolder: NativeFunction | undefined;
  #waited: readonly WaitedCondition[] = [];

  /**
   * @throws ForkError, or what koffi throws where Node hides libuv
   */
  constructor() {
    const libraries = open();
    this.#memory = requestMemory(libraries);
    this.#errno = () => libraries.errno();
    const libc = libraries.load(null);
    const pointer = 'void *';
    this.#libc = {
      fork: libc.func('fork', 'int', []),
      _exit: libc.func('_exit', 'void', ['int']),
      getpid: libc.func('getpid', 'int', []),
      kill: libc.func('kill', 'int', ['int', 'int']),
      waitpid: libc.func('waitpid', 'int', ['int', pointer, 'int']),
      recvmsg: libc.func('recvmsg', 'long', ['int', pointer, 'int']),
      poll: libc.func('poll', 'int', [pointer, 'ulong', 'int']),
      open: libc.func('open', 'int', ['str', 'int']),
      read: libc.func('read', 'long', ['int', pointer, 'ulong']),
      dup2: libc.func('dup2', 'int', ['int', 'int']),
      dup3: libc.func('dup3', 'int', ['int', 'int', 'int']),
      readlink: libc.func('readlink', 'long', ['str', pointer, 'ulong']),
      close: libc.func('close', 'int', ['int']),
      madvise: libc.func('madvise', 'int', ['uint64', 'ulong', 'int']),
      uv_backend_fd: libc.func('uv_backend_fd', 'int', ['uint64']),
      uv_loop_fork: libc.func('uv_loop_fork', 'int', ['uint64']),
      uv_update_time: libc.func('uv_update_time', 'void', ['uint64']),
    };
    this.#loop = libc.func('uv_default_loop', 'uint64', [])();
    this.#peek = libc.func('memcpy', 'uint64', [pointer, 'uint64', 'ulong']);
    this.#poke = libc.func('memcpy', 'uint64', ['uint64', pointer, 'ulong']);
    try {
      this.#listFolder = libc.func('getdents64', 'long', ['int', pointer, 'ulong']);
    } catch {
      // Another C library, which need not be told.
    }
  }

  /**
   * Blocks until there is a request.
   * @param timeoutMs -1: for ever
   */
  wait(socketFd: number, timeoutMs: number): TemplateEvent {
    const request = this.#memory.subarray(at.poll, at.poll + 8);
    request.writeInt32LE(socketFd, 0);
    request.writeInt32LE(pollIn, 4);
    const count = this.#libc.poll(request, 1, timeoutMs);
    return count > 0 ? (this.#receive(socketFd) ?? { kind: 'timeout' }) : { kind: 'timeout' };
  }

  /** The next child that has ended and its wait status; undefined when there is none. */
  reap(): { readonly pid: number; readonly status: number } | undefined {
    const status = this.#memory.subarray(at.status, at.status + 4);
    const pid = this.#libc.waitpid(-1, status, withoutWaiting);
    return pid > 0 ? { pid, status: status.readInt32LE(0) } : undefined;
  }

  /**
   * @returns 0 in the copy, whose event loop is its own then; the number of the copy here
   * @throws ForkError
   */
  fork(): number {
    this.#inheritHeap();
    // They wait for good, so that one look is enough.
    if (this.#waited.length === 0) this.#waited = waitedConditions(this.#callsOfThreads());
    const pid = this.#libc.fork();
    if (pid < 0) throw new ForkError('failed', `fork() failed with errno ${this.#errno()}`);
    if (pid > 0) return pid;
    // Without a loop of its own the copy would read what is meant for others.
    if (this.#libc.uv_loop_fork(this.#loop) !== 0) this.exit(1);
    // Timers count from what the loop takes for now: the time when the template began to wait.
    this.#libc.uv_update_time(this.#loop);
    for (const condition of this.#waited) this.#forgetWaiters(condition);
    return 0;
  }

  /** What each thread is in, as /proc shows it. */
  #callsOfThreads(): string[] {
    const folder = '/proc/self/task';
    const fd = this.#listFolder === undefined ? -1 : this.#libc.open(folder, readOnly | closeOnExec);
    if (fd < 0) return [];
    const names: string[] = [];
    for (;;) {
      const length = this.#listFolder?.(fd, this.#maps, this.#maps.length) ?? 0;
      if (length <= 0) break;
      // dirent64: 16 length of the entry (16 bit), 19 name
      for (let at = 0; at < length; at += this.#maps.readUInt16LE(at + 16))
        names.push(this.#maps.toString('latin1', at + 19, this.#maps.indexOf(0, at + 19)));
    }
    this.#libc.close(fd);
    return names
      .filter((name) => /^\d+$/.test(name))
      .map((name) => {
        try {
          return this.#readWhole(`${folder}/${name}/syscall`);
        } catch {
          return '';
        }
      });
  }

  /** In the copy. Only where the number is what it should be, and so the layout. */
  #forgetWaiters({ address, threads }: WaitedCondition): void {
    const count = this.#memory.subarray(at.status, at.status + 4);
    this.#peek(count, address + waitersAt, 4);
    const value = count.readUInt32LE(0);
    if (value >>> 3 !== threads) return;
    count.writeUInt32LE(value & flagBits, 0);
    this.#poke(address + waitersAt, count, 4);
  }

  getPid(): number {
    return this.#libc.getpid();
  }

  /** Makes `fd` known as `target`, also to programs that the process may start. */
  move(fd: number, target: number): void {
    this.#libc.dup2(fd, target);
    this.#libc.close(fd);
  }

  duplicate(fd: number, target: number): void {
    this.#libc.dup2(fd, target);
  }

  close(fd: number): void {
    this.#libc.close(fd);
  }

  /** At once: no handler runs, nothing is flushed. */
  exit(code: number): never {
    this.#libc._exit(code);
    this.#libc.kill(this.getPid(), killSignal);
    throw new ForkError('failed', '_exit() returned');
  }

  #receive(socketFd: number): TemplateEvent | undefined {
    const memory = this.#memory;
    memory.writeBigUInt64LE(BigInt(at.payload - at.control), at.header + 40);
    const count = this.#libc.recvmsg(socketFd, memory, flagCmsgCloseOnExec | flagDontWait);
    if (count < 0 && (this.#errno() === EAGAIN || this.#errno() === EINTR)) return undefined;
    if (count !== requestBytes) return { kind: 'ended' };
    const fds: number[] = [];
    if (memory.readBigUInt64LE(at.header + 40) >= 20n && memory.readInt32LE(at.control + 12) === typeRights) {
      const length = Math.min(Number(memory.readBigUInt64LE(at.control)), at.payload - at.control);
      for (let offset = 16; offset + 4 <= length; offset += 4) fds.push(memory.readInt32LE(at.control + offset));
    }
    return { kind: 'request', request: { kind: memory.readUInt32LE(at.payload), id: memory.readUInt32LE(at.payload + 4), fds } };
  }

  /**
   * Pipes and the like that are open from this descriptor on. Sockets belong to the copy's own loop, which closes those that are over.
   * @returns what each is
   */
  listOpen(firstFd: number): ReadonlyMap<number, string> {
    const found = new Map<number, string>();
    for (let fd = firstFd; fd <= maxListedFd; fd += 1) {
      const what = this.#whatIs(fd);
      if (what !== undefined && /^(pipe|anon_inode):/.test(what)) found.set(fd, what);
    }
    return found;
  }

  /**
   * Lets go of what the template had open and the copy still has, other than what is meant for it: loops of threads that it does not have. Whoever
   * held such a pipe could write into the loop of a thread of the template's, or of a copy that serves somebody else. The numbers stay
   * taken, by something that takes every octet: the copy may still try to wake those threads.
   */
  letGo(inherited: ReadonlyMap<number, string>): void {
    const sink = this.#libc.open(nothing, readWrite | closeOnExec);
    const ownPoll = this.#libc.uv_backend_fd(this.#loop);
    for (const [fd, what] of inherited) {
      if (fd !== ownPoll && fd !== sink && this.#whatIs(fd) === what) this.#libc.dup3(sink, fd, closeOnExec);
    }
    this.#libc.close(sink);
  }

  /** The name that the kernel shows, with the number of an eventfd; undefined when it is not open. */
  #whatIs(fd: number): string | undefined {
    const link = this.#maps.subarray(0, maxLinkBytes);
    const length = this.#libc.readlink(`/proc/self/fd/${fd}`, link, link.length);
    if (length < 0) return undefined;
    const name = link.toString('latin1', 0, length);
    return name.includes('[eventfd]') ? `${name} ${/^eventfd-id:.*$/m.exec(this.#readWhole(`/proc/self/fdinfo/${fd}`))?.[0] ?? ''}` : name;
  }

  /** V8 keeps its heap out of copies, for the sake of programs that fork only to run another one. */
  #inheritHeap(): void {
    for (const { start, bytes } of privateMappings(this.#readMaps())) this.#libc.madvise(start, bytes, inheritOnFork);
  }

  #readMaps(): string {
    return this.#readWhole('/proc/self/maps');
  }

  #readWhole(path: string): string {
    // Not through Node: the permission model of confined roles knows nothing of /proc.
    const fd = this.#libc.open(path, readOnly | closeOnExec);
    if (fd < 0) throw new ForkError('failed', `${path} cannot be read: errno ${this.#errno()}`);
    let length = 0;
    for (;;) {
      const count = this.#libc.read(fd, this.#maps.subarray(length), this.#maps.length - length);
      if (count <= 0) break;
      length += count;
    }
    this.#libc.close(fd);
    return this.#maps.toString('latin1', 0, length);
  }
}

type Call =
  | 'fork'
  | '_exit'
  | 'getpid'
  | 'kill'
  | 'waitpid'
  | 'recvmsg'
  | 'poll'
  | 'open'
  | 'read'
  | 'dup2'
  | 'dup3'
  | 'readlink'
  | 'close'
  | 'madvise'
  | 'uv_backend_fd'
  | 'uv_loop_fork'
  | 'uv_update_time';

/**
 * Memory without a file, from the text of /proc/self/maps; neighbours together.
 * @returns addresses below 2^47, which are exact
 */
export function privateMappings(maps: string): { readonly start: number; readonly bytes: number }[] {
  const found: { start: number; bytes: number }[] = [];
  for (const [, start = '', end = '', name = ''] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) ...p [0-9a-f]+ 00:00 0 *(.*)$/gm)) {
    // The kernel's own pages, which every process has anyway.
    if (name.startsWith('[v')) continue;
    const from = Number.parseInt(start, 16);
    const bytes = Number.parseInt(end, 16) - from;
    const last = found.at(-1);
    if (last !== undefined && last.start + last.bytes === from) last.bytes += bytes;
    else found.push({ start: from, bytes });
  }
  return found;
}

function open(): NativeLibraries {
  const libraries = knowsLayouts ? openNativeLibraries() : undefined;
  if (libraries === undefined) throw new ForkError('unavailable', 'processes are copied on Linux only, and with koffi');
  return libraries;
}

/** The message header with its pointers, the control data and the payload, in memory that does not move. */
function requestMemory(libraries: NativeLibraries): Buffer {
  const memory = Buffer.from(new ArrayBuffer(at.end));
  const base = libraries.address(memory);
  memory.writeBigUInt64LE(base + BigInt(at.vector), at.header + 16);
  memory.writeBigUInt64LE(1n, at.header + 24);
  memory.writeBigUInt64LE(base + BigInt(at.control), at.header + 32);
  memory.writeBigUInt64LE(base + BigInt(at.payload), at.vector);
  memory.writeBigUInt64LE(BigInt(requestBytes), at.vector + 8);
  return memory;
}
