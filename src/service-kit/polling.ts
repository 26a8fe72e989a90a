// Descriptors that can be read or written, told by an epoll instance of our own (epoll(7)), which libuv watches as one descriptor.
//
// For a connection of four lines, Node's own handles take 85 of 100 µs, half of them in user space: an object with a native half, 64 KB of memory to
// read into for each read, requests for the end. Through here it is 60 µs (socket-stream.ts).
import { getSystemErrorName } from 'node:util';
import { CodedError } from '#util/coded-error.js';
import { openNativeLibraries } from '#util/native-calls.js';

/** Of epoll(7). Errors and hang-ups are told whatever one is interested in, so who is interested in nothing is not watched. */
export const pollEvents = { in: 0x1, out: 0x4, error: 0x8, hangUp: 0x10 } as const;

const command = { add: 1, remove: 2, change: 3 } as const;
const closeOnExec = 0o2000000;
/** Told at once; what else is ready is told in the next turn of the event loop. */
const maxEvents = 64;
/** `struct epoll_event`: packed on x86-64 only. */
const layout = process.arch === 'x64' ? { size: 12, data: 4 } : { size: 16, data: 8 };
const knowsLayout = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64');

/** Code: the system's name for what happened, `EPERM` for a descriptor that cannot be waited for. */
export class PollError extends CodedError<string> {
  override readonly name = 'PollError';
}

/** Who waits for a descriptor. */
export interface Polled {
  readonly fd: number;
  /** Of `nextSerial`: tells it from who had the descriptor's number before. */
  readonly serial: number;
  /** Kept by the poller; 0 at first. */
  interest: number;
  /** @param events of `pollEvents` */
  onReady(events: number): void;
}

export class Poller {
  readonly #control: (epollFd: number, command: number, fd: number, event: Buffer) => number;
  readonly #wait: (epollFd: number, events: Buffer, count: number, timeoutMs: number) => number;
  readonly #errno: () => number;
  readonly #fd: number;
  readonly #handle: { ref(): void; unref(): void };
  /** By descriptor. Not in a Map: what has gone would be kept by its old tables (util/cell-map.ts). */
  readonly #watched: (Polled | undefined)[] = [];
  #count = 0;
  readonly #event = Buffer.from(new ArrayBuffer(layout.size));
  readonly #events = Buffer.from(new ArrayBuffer(layout.size * maxEvents));
  #lastSerial = 0;
  #isDue = false;

  /** @throws PollError where there is none */
  constructor() {
    const native = knowsLayout ? openNativeLibraries() : undefined;
    if (native === undefined) throw new PollError('ENOSYS', 'epoll needs Linux and the koffi package');
    const libc = native.load(null);
    this.#errno = () => native.errno();
    this.#control = libc.func('epoll_ctl', 'int', ['int', 'int', 'int', 'void *']);
    this.#wait = libc.func('epoll_wait', 'int', ['int', 'void *', 'int', 'int']);
    this.#fd = libc.func('epoll_create1', 'int', ['int'])(closeOnExec);
    if (this.#fd < 0) throw this.#error('epoll_create1()');
    this.#handle = native.node.poll(this.#fd, { readable: true }, this.#onReadable);
    this.#handle.unref();
  }

  /** Each one that waits has its own. */
  nextSerial(): number {
    // The event has 32 bits for it.
    this.#lastSerial = (this.#lastSerial + 1) >>> 0;
    return this.#lastSerial;
  }

  /**
   * Waits for other events, or for none: always before the descriptor is closed, as copies of it in other processes would keep it waited for here.
   * As long as anybody waits, the process lives.
   * @throws PollError unless `events` is 0
   */
  setInterest(polled: Polled, events: number): void {
    const before = polled.interest;
    if (events === before) return;
    const { fd } = polled;
    this.#event.writeUInt32LE(events, 0);
    this.#event.writeInt32LE(fd, layout.data);
    this.#event.writeUInt32LE(polled.serial, layout.data + 4);
    const what = before === 0 ? command.add : events === 0 ? command.remove : command.change;
    // What is not waited for any more is none of our concern, whatever the system says of it; who closes a connection must come to its end.
    if (this.#control(this.#fd, what, fd, this.#event) < 0 && what !== command.remove) throw this.#error(`epoll_ctl(${fd})`);
    polled.interest = events;
    if (events === 0) {
      this.#watched[fd] = undefined;
      this.#count -= 1;
      if (this.#count === 0) this.#handle.unref();
    } else if (before === 0) {
      // One after the other: an array with holes in it would become a table.
      while (this.#watched.length <= fd) this.#watched.push(undefined);
      this.#watched[fd] = polled;
      this.#count += 1;
      if (this.#count === 1) this.#handle.ref();
    }
  }

  /** Called by koffi without any of what Node does around a callback, so that the work itself is left to a callback of Node's, in the same turn. */
  readonly #onReadable = (): void => {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#work);
  };

  readonly #work = (): void => {
    this.#isDue = false;
    const events = this.#events;
    const count = this.#wait(this.#fd, events, maxEvents, 0);
    for (let index = 0; index < count; index += 1) {
      const at = index * layout.size;
      const polled = this.#watched[events.readInt32LE(at + layout.data)];
      // Not any more, or another connection by now: one of the events before has changed it.
      if (polled?.serial === events.readUInt32LE(at + layout.data + 4)) polled.onReady(events.readUInt32LE(at));
    }
  };

  #error(call: string): PollError {
    const name = getSystemErrorName(-this.#errno());
    return new PollError(name, `${call} failed: ${name}`);
  }
}

let poller: Poller | undefined;
let isForgone = false;

/** The poller of this process, made at the first call; undefined where there can be none. */
export function openPoller(): Poller | undefined {
  if (poller !== undefined || isForgone) return poller;
  try {
    poller = new Poller();
  } catch {
    isForgone = true;
  }
  return poller;
}

/** For processes that are copied: what an epoll instance watches is one for all copies. To be called before anything else here. */
export function forgoPolling(): void {
  isForgone = true;
}
