// A UNIX datagram socket, which Node does not have: what syslog and systemd listen on.
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NativeLibraries, openNativeLibraries } from '#util/native-calls.js';
import { patienceMs } from './patience.js';

const family = 1;
const datagram = 2;
const nonBlocking = 0o4000;

export class DatagramSocket implements Disposable {
  readonly #fd: number;
  readonly #receive: (memory: Buffer) => number;
  readonly #close: () => void;
  readonly received: string[] = [];

  /** @param path must be free */
  constructor(path: string) {
    const libraries = openNativeLibraries();
    if (libraries === undefined) throw new Error('koffi is not there');
    const libc: ReturnType<NativeLibraries['load']> = libraries.load(null);
    const recv = libc.func('recv', 'long', ['int', 'void *', 'ulong', 'int']);
    const close = libc.func('close', 'int', ['int']);
    this.#fd = libc.func('socket', 'int', ['int', 'int', 'int'])(family, datagram | nonBlocking, 0);
    const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
    address.writeUInt16LE(family, 0);
    address.write(path, 2);
    const failed = libc.func('bind', 'int', ['int', 'void *', 'uint'])(this.#fd, address, address.length) < 0;
    if (failed) throw new Error(`bind(${path}): ${libraries.errno()} (EADDRINUSE is ${constants.errno.EADDRINUSE})`);
    this.#receive = (memory) => recv(this.#fd, memory, memory.length, 0);
    this.#close = () => void close(this.#fd);
  }

  /** The first datagram that matches, also an earlier one. */
  async until(pattern: RegExp, timeoutMs = patienceMs): Promise<string> {
    const memory = Buffer.alloc(64 * 1024);
    for (const endMs = Date.now() + timeoutMs; ; ) {
      for (let count = this.#receive(memory); count >= 0; count = this.#receive(memory))
        this.received.push(memory.toString('utf8', 0, count));
      const found = this.received.find((text) => pattern.test(text));
      if (found !== undefined) return found;
      if (Date.now() > endMs) throw new Error(`no datagram like ${pattern}, got ${JSON.stringify(this.received)}`);
      await sleep(10);
    }
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}
