// fsync(2) and fdatasync(2) of open files, off the event loop: by the kernel's own threads where it has them (aio(7), since Linux 4.18), else by libuv's.
//
// A trip through libuv's thread pool wakes a thread of ours, which runs on a processor of its own, waits, takes a lock, and wakes the event loop. Given to the
// kernel, all that are asked for in one turn are one call, and those that end while the loop is busy are one event: a fifth of the CPU for us, four
// fifths with the kernel's part, and sooner done.
//
// Layout (linux/aio_abi.h), 64 octets: 0 aio_data, here the slot, which the event tells again; 16 opcode (16 bit); 20 descriptor; 56 flags; 60 eventfd.
// An event has 32: 0 aio_data, 16 the result, negative for an errno.
import { closeSync, fdatasync, fsync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { arch, platform } from 'node:process';
import { getSystemErrorName } from 'node:util';
import { Gathering } from './gathering.js';
import { type NativeFunction, type NativeLibraries, openNativeLibraries } from './native-calls.js';

export interface DiskSyncs {
  /** fsync(2). Resolves when the file, and what its file system makes durable with it, is on the disk. @throws system errors */
  file(fd: number): Promise<void>;
  /** fdatasync(2) */
  data(fd: number): Promise<void>;
}

/** In libuv's threads. */
export const poolSyncs: DiskSyncs = {
  file: (fd) => new Promise((resolve, reject) => fsync(fd, (error) => settle(error, resolve, reject))),
  data: (fd) => new Promise((resolve, reject) => fdatasync(fd, (error) => settle(error, resolve, reject))),
};

function settle(error: Error | null | undefined, resolve: () => void, reject: (error: Error) => void): void {
  if (error === null || error === undefined) resolve();
  else reject(error);
}

const opcodes = { fsync: 2, fdatasync: 3 } as const;
const tellByEventFd = 1;
const controlBytes = 64;
const eventBytes = 32;
/** At once; what comes beyond goes to libuv's threads. */
const mostAtOnce = 64;
const notWaiting = 0o4000 | 0o2000000;
const callNumbers: Readonly<Record<string, { readonly setup: number; readonly getEvents: number; readonly submit: number }>> = {
  x64: { setup: 206, getEvents: 208, submit: 209 },
  arm64: { setup: 0, getEvents: 4, submit: 2 },
};

interface Request {
  readonly fd: number;
  readonly call: keyof typeof opcodes;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class KernelSyncs implements DiskSyncs {
  readonly #submit: (count: number) => number;
  /** What has ended so far has been heard of. */
  readonly #listen: () => void;
  /** @param least how many to wait for @param limitUs no longer than this @param from where their events go @returns how many have ended */
  readonly #take: (least: number, limitUs: number, from: number) => number;
  readonly #gathering = new Gathering();
  readonly #controls: Buffer;
  readonly #pointers: Buffer;
  readonly #events: Buffer;
  readonly #address: bigint;
  readonly #eventFd: number;
  readonly #handle: { ref(): void; unref(): void };
  readonly #requests: (Request | undefined)[] = new Array(mostAtOnce).fill(undefined);
  readonly #free = Array.from({ length: mostAtOnce }, (_, slot) => slot);
  #queued: number[] = [];
  #isDue = false;

  /** @throws Error where the kernel has no such calls, or forbids them */
  constructor(native: NativeLibraries) {
    const numbers = callNumbers[arch];
    if (platform !== 'linux' || numbers === undefined) throw new Error('no numbers of system calls');
    const libc = native.load(null);
    const setup = libc.func('syscall', 'long', ['long', 'long', 'void *']);
    const submit = libc.func('syscall', 'long', ['long', 'uint64_t', 'long', 'void *']);
    const getEvents = libc.func('syscall', 'long', ['long', 'uint64_t', 'long', 'long', 'void *', 'void *']);
    const read = libc.func('read', 'long', ['int', 'void *', 'ulong']);
    const octets = (length: number): Buffer => Buffer.from(new ArrayBuffer(length));
    const count = octets(8);
    /** `struct timespec`: seconds, nanoseconds. */
    const limit = octets(16);
    this.#eventFd = libc.func('eventfd', 'int', ['uint', 'int'])(0, notWaiting);
    if (this.#eventFd < 0) throw new Error('no eventfd');
    const context = contextOf(setup, numbers.setup, count);
    if (context === undefined) {
      closeSync(this.#eventFd);
      throw new Error('io_setup() failed');
    }
    this.#controls = octets(controlBytes * mostAtOnce);
    this.#pointers = octets(8 * mostAtOnce);
    this.#events = octets(eventBytes * mostAtOnce);
    this.#address = native.address(this.#controls);
    this.#submit = (length) => submit(numbers.submit, context, length, this.#pointers);
    this.#listen = () => {
      read(this.#eventFd, count, count.length);
    };
    this.#take = (least, limitUs, from) => {
      limit.writeUInt32LE(limitUs * 1000, 8);
      return Math.max(0, getEvents(numbers.getEvents, context, least, mostAtOnce - from, this.#eventsFrom(from), limit));
    };
    this.#handle = native.node.poll(this.#eventFd, { readable: true }, this.#onReadable);
    this.#handle.unref();
  }

  file(fd: number): Promise<void> {
    return this.#request(fd, 'fsync');
  }

  data(fd: number): Promise<void> {
    return this.#request(fd, 'fdatasync');
  }

  #request(fd: number, call: keyof typeof opcodes): Promise<void> {
    const slot = this.#free.pop();
    if (slot === undefined) return call === 'fsync' ? poolSyncs.file(fd) : poolSyncs.data(fd);
    return new Promise((resolve, reject) => {
      this.#requests[slot] = { fd, call, resolve, reject };
      const at = slot * controlBytes;
      this.#controls.fill(0, at, at + controlBytes);
      this.#controls.writeUInt32LE(slot, at);
      this.#controls.writeUInt16LE(opcodes[call], at + 16);
      this.#controls.writeInt32LE(fd, at + 20);
      this.#controls.writeUInt32LE(tellByEventFd, at + 56);
      this.#controls.writeInt32LE(this.#eventFd, at + 60);
      this.#queued.push(slot);
      // After all that this turn still asks for.
      if (this.#queued.length === 1) process.nextTick(this.#flush);
    });
  }

  readonly #flush = (): void => {
    const queued = this.#queued;
    this.#queued = [];
    if (this.#free.length + queued.length === mostAtOnce) this.#handle.ref();
    for (const [index, slot] of queued.entries()) this.#pointers.writeBigUInt64LE(this.#address + BigInt(slot * controlBytes), index * 8);
    const taken = Math.max(0, this.#submit(queued.length));
    // What the kernel does not take by itself is asked for in the usual way, which also tells why.
    for (const slot of queued.slice(taken)) {
      const request = this.#release(slot);
      if (request !== undefined)
        (request.call === 'fsync' ? poolSyncs.file : poolSyncs.data)(request.fd).then(request.resolve, request.reject);
    }
  };

  /** Called by koffi without any of what Node does around a callback, so that the work itself is left to a callback of Node's, in the same turn. */
  readonly #onReadable = (): void => {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#work);
  };

  readonly #work = (): void => {
    this.#isDue = false;
    const count = this.#gather();
    for (let index = 0; index < count; index += 1) {
      const at = index * eventBytes;
      const request = this.#release(this.#events.readUInt32LE(at));
      const result = this.#events.readInt32LE(at + 16);
      if (request === undefined) continue;
      if (result < 0) request.reject(systemError(request.call, result));
      else request.resolve();
    }
  };

  /** @returns how many events there are */
  #gather(): number {
    const given = mostAtOnce - this.#free.length - this.#queued.length;
    const startedAt = performance.now();
    const limitUs = this.#gathering.limitUs(given, startedAt, performance.nodeTiming.idleTime);
    if (limitUs === 0) {
      this.#listen();
      return this.#take(0, 0, 0);
    }
    const count = this.#take(given, limitUs, 0);
    this.#gathering.ended(performance.now() - startedAt, count === given);
    // Afterwards, as each that ended during the wait has been told of, too. One that ended just now is not to be missed.
    this.#listen();
    return count === given ? count : count + this.#take(0, 0, count);
  }

  #eventsFrom(count: number): Buffer {
    return count === 0 ? this.#events : this.#events.subarray(count * eventBytes);
  }

  #release(slot: number): Request | undefined {
    const request = this.#requests[slot];
    this.#requests[slot] = undefined;
    if (request !== undefined) this.#free.push(slot);
    if (this.#free.length === mostAtOnce) this.#handle.unref();
    return request;
  }
}

function contextOf(setup: NativeFunction, call: number, room: Buffer): bigint | undefined {
  room.fill(0);
  return setup(call, mostAtOnce, room) === 0 ? room.readBigUInt64LE(0) : undefined;
}

/** As Node's own: `EIO: i/o error, fsync`, without the words. */
function systemError(call: string, result: number): Error {
  const code = getSystemErrorName(result);
  return Object.assign(new Error(`${code}: ${call}`), { code, errno: result, syscall: call });
}

let opened: DiskSyncs | undefined;

/** Those of this process, made at the first call. */
export function diskSyncs(): DiskSyncs {
  opened ??= open();
  return opened;
}

function open(): DiskSyncs {
  const native = openNativeLibraries();
  if (native === undefined) return poolSyncs;
  try {
    return new KernelSyncs(native);
  } catch {
    return poolSyncs;
  }
}

/** For processes that are copied: the kernel's requests are not, and who is told of them is one for all copies. To be called before anything else here. */
export function forgoKernelSyncs(): void {
  opened = poolSyncs;
}
