// Listening sockets that one process opens and others accept from: the calls that Node has no counterpart for. A Node server would accept as
// soon as it listens; here the opener only listens, and learns by SIGIO that a connection waits (fcntl(2), F_SETOWN and O_ASYNC).
//
// Constants and layouts are those of Linux on 64-bit little-endian machines:
//   sockaddr_in   0 family (16 bit), 2 port (network order), 4 address
//   sockaddr_in6  0 family (16 bit), 2 port, 4 flow, 8 address (16 octets), 24 scope
//   pollfd        0 descriptor, 4 events (16 bit), 6 revents (16 bit)
//   tcp_info      24 tcpi_unacked: for a listener the connections that wait to be accepted

import { isIPv6 } from 'node:net';
import { constants } from 'node:os';
import { CodedError } from '#util/coded-error.js';
import { type NativeFunction, openNativeLibraries } from '#util/native-calls.js';

const family = { unix: 1, inet: 2, inet6: 10 } as const;
const stream = 1;
const datagram = 2;
const closeOnExec = 0o2000000;
const nonBlocking = 0o4000;
const async = 0o20000;
const command = { setDescriptorFlags: 2, getFlags: 3, setFlags: 4, setOwner: 8 } as const;
const level = { socket: 1, tcp: 6, ipv6: 41 } as const;
const option = {
  reuseAddress: 2,
  reusePort: 15,
  onlyIpv6: 26,
  tcpInfo: 11,
  noDelay: 1,
  keepAlive: 9,
  keepIdle: 4,
  keepInterval: 5,
  keepCount: 6,
} as const;
/** What libuv asks for: a second between probes, ten of them. */
const keepAliveProbes = { seconds: 1, count: 10 } as const;
const readable = 1;
const flagDontWait = 0x40;
const flagNoSignal = 0x4000;
const maxPathBytes = 107;
const addressBytes = 110;

/** `in-use`: somebody else listens there. `denied`: not allowed (a port below 1024). `unavailable`: this platform cannot. */
export class ListenError extends CodedError<'in-use' | 'denied' | 'no-address' | 'unavailable' | 'failed'> {
  override readonly name = 'ListenError';
}

const codes: Readonly<Record<number, 'in-use' | 'denied' | 'no-address'>> = {
  [constants.errno.EADDRINUSE]: 'in-use',
  [constants.errno.EACCES]: 'denied',
  [constants.errno.EPERM]: 'denied',
  [constants.errno.EADDRNOTAVAIL]: 'no-address',
};

type Call =
  | 'socket'
  | 'bind'
  | 'listen'
  | 'setsockopt'
  | 'getsockopt'
  | 'getsockname'
  | 'accept4'
  | 'poll'
  | 'fcntl'
  | 'send'
  | 'sendto'
  | 'close';

/** What a process lacks that can accept nothing: descriptors or memory, its own or the system's. */
const shortages: ReadonlySet<number> = new Set([
  constants.errno.EMFILE,
  constants.errno.ENFILE,
  constants.errno.ENOBUFS,
  constants.errno.ENOMEM,
]);

export class ListeningSockets {
  readonly #calls: Readonly<Record<Call, NativeFunction>>;
  readonly #errno: () => number;

  /** @throws ListenError `unavailable` */
  constructor() {
    const libraries = process.platform === 'linux' ? openNativeLibraries() : undefined;
    if (libraries === undefined) throw new ListenError('unavailable', 'listening sockets need Linux and the koffi package');
    const libc = libraries.load(null);
    const pointer = 'void *';
    this.#errno = () => libraries.errno();
    this.#calls = {
      socket: libc.func('socket', 'int', ['int', 'int', 'int']),
      bind: libc.func('bind', 'int', ['int', pointer, 'uint']),
      listen: libc.func('listen', 'int', ['int', 'int']),
      setsockopt: libc.func('setsockopt', 'int', ['int', 'int', 'int', pointer, 'uint']),
      getsockopt: libc.func('getsockopt', 'int', ['int', 'int', 'int', pointer, pointer]),
      getsockname: libc.func('getsockname', 'int', ['int', pointer, pointer]),
      accept4: libc.func('accept4', 'int', ['int', pointer, pointer, 'int']),
      poll: libc.func('poll', 'int', [pointer, 'ulong', 'int']),
      fcntl: libc.func('fcntl', 'int', ['int', 'int', 'int']),
      send: libc.func('send', 'long', ['int', pointer, 'ulong', 'int']),
      sendto: libc.func('sendto', 'long', ['int', pointer, 'ulong', 'int', pointer, 'uint']),
      close: libc.func('close', 'int', ['int']),
    };
  }

  /**
   * @param address an IP address; `::` takes no IPv4 connections
   * @returns the descriptor of a non-blocking listener that is not inherited by accident
   * @throws ListenError
   */
  listenInet(address: string, port: number, options: { readonly backlog: number; readonly isReusePort?: boolean }): number {
    const isV6 = isIPv6(address);
    const fd = this.#open(isV6 ? family.inet6 : family.inet, stream);
    this.#option(fd, level.socket, option.reuseAddress);
    if (options.isReusePort === true) this.#option(fd, level.socket, option.reusePort);
    if (isV6) this.#option(fd, level.ipv6, option.onlyIpv6);
    return this.#bindAndListen(fd, inetAddress(address, port), options.backlog, `${isV6 ? `[${address}]` : address}:${port}`);
  }

  /**
   * The path must be free. The mode depends on the umask; the caller sets it.
   * @throws ListenError
   */
  listenUnix(path: string, backlog: number): number {
    return this.#bindAndListen(this.#open(family.unix, stream), unixAddress(path), backlog, path);
  }

  /** The port that the system chose for port 0. */
  portOf(fd: number): number {
    const address = this.addressOf(fd);
    return address.family === 'unix' ? 0 : address.port;
  }

  addressOf(fd: number): { readonly family: 'inet' | 'inet6'; readonly port: number } | { readonly family: 'unix'; readonly path: string } {
    const address = Buffer.alloc(addressBytes);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(address.length);
    if (this.#calls.getsockname(fd, address, length) < 0) throw this.#error(`getsockname(${fd})`);
    const name = address.readUInt16LE(0);
    if (name === family.unix)
      return { family: 'unix', path: address.toString('utf8', 2, Math.max(2, length.readUInt32LE(0))).replace(/\0.*$/s, '') };
    return { family: name === family.inet6 ? 'inet6' : 'inet', port: address.readUInt16BE(2) };
  }

  /** Connections that wait to be accepted: 0, or at least 1 when it is not known how many (UNIX sockets). */
  pending(fd: number): number {
    if (!this.isReadable(fd)) return 0;
    const facts = Buffer.alloc(104);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(facts.length);
    return this.#calls.getsockopt(fd, level.tcp, option.tcpInfo, facts, length) < 0 ? 1 : Math.max(1, facts.readUInt32LE(24));
  }

  isReadable(fd: number): boolean {
    const request = Buffer.alloc(8);
    request.writeInt32LE(fd, 0);
    request.writeInt16LE(readable, 4);
    return this.#calls.poll(request, 1, 0) > 0;
  }

  /** While on, each new connection raises SIGIO in this process; a handler must be there before. The flag belongs to the socket, not to the process. */
  signalConnections(fd: number, isOn: boolean): void {
    const { fcntl } = this.#calls;
    const flags = fcntl(fd, command.getFlags, 0);
    if (flags < 0 || ((flags & async) !== 0) === isOn) return;
    if (isOn) fcntl(fd, command.setOwner, process.pid);
    fcntl(fd, command.setFlags, isOn ? flags | async : flags & ~async);
  }

  /**
   * What is accepted from this listener sends without delay, and is probed.
   * @param keepAliveMs idle time before the first probe; 0: is not probed
   */
  prepareConnections(fd: number, keepAliveMs: number): void {
    this.#option(fd, level.tcp, option.noDelay);
    this.#option(fd, level.socket, option.keepAlive, keepAliveMs > 0 ? 1 : 0);
    if (keepAliveMs <= 0) return;
    this.#option(fd, level.tcp, option.keepIdle, Math.max(1, Math.floor(keepAliveMs / 1000)));
    this.#option(fd, level.tcp, option.keepInterval, keepAliveProbes.seconds);
    this.#option(fd, level.tcp, option.keepCount, keepAliveProbes.count);
  }

  /** The next waiting connection; undefined when there is none. */
  accept(fd: number): number | undefined {
    const accepted = this.#calls.accept4(fd, null, null, closeOnExec | nonBlocking);
    return accepted < 0 ? undefined : accepted;
  }

  /** Why `accept` gave none just now: a connection waits, but the descriptors or the memory for it are used up. */
  get isShort(): boolean {
    return shortages.has(this.#errno());
  }

  /** Sends what fits into the socket's buffer and closes it. */
  sendAndClose(fd: number, text: string): void {
    const octets = Buffer.from(text);
    if (octets.length > 0) this.#calls.send(fd, octets, octets.length, flagDontWait | flagNoSignal);
    this.#calls.close(fd);
  }

  close(fd: number): void {
    this.#calls.close(fd);
  }

  /** Descriptors that came from outside (socket activation) shall neither block nor be inherited by accident. */
  adopt(fd: number): void {
    this.#calls.fcntl(fd, command.setDescriptorFlags, 1);
    const flags = this.#calls.fcntl(fd, command.getFlags, 0);
    if (flags >= 0) this.#calls.fcntl(fd, command.setFlags, flags | nonBlocking);
  }

  /**
   * One datagram to a UNIX socket.
   * @param path `@name` is in the abstract namespace
   * @returns whether it was sent
   */
  sendDatagram(path: string, text: string): boolean {
    const fd = this.#open(family.unix, datagram);
    const address = unixAddress(path);
    const octets = Buffer.from(text);
    const sent = this.#calls.sendto(fd, octets, octets.length, flagDontWait | flagNoSignal, address, address.length);
    this.#calls.close(fd);
    return sent >= 0;
  }

  #open(domain: number, type: number): number {
    const fd = this.#calls.socket(domain, type | closeOnExec | nonBlocking, 0);
    if (fd < 0) throw this.#error('socket()');
    return fd;
  }

  #option(fd: number, optionLevel: number, name: number, value = 1): void {
    const on = Buffer.alloc(4);
    on.writeInt32LE(value);
    this.#calls.setsockopt(fd, optionLevel, name, on, on.length);
  }

  #bindAndListen(fd: number, address: Buffer, backlog: number, text: string): number {
    if (this.#calls.bind(fd, address, address.length) < 0) {
      const error = this.#error(`bind(${text})`);
      this.#calls.close(fd);
      throw error;
    }
    if (this.#calls.listen(fd, backlog) < 0) {
      const error = this.#error(`listen(${text})`);
      this.#calls.close(fd);
      throw error;
    }
    return fd;
  }

  #error(call: string): ListenError {
    const errno = this.#errno();
    const name = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
    return new ListenError(codes[errno] ?? 'failed', `${call} failed: ${name}`);
  }
}

function inetAddress(address: string, port: number): Buffer {
  if (!isIPv6(address)) {
    const octets = Buffer.alloc(16);
    octets.writeUInt16LE(family.inet, 0);
    octets.writeUInt16BE(port, 2);
    for (const [at, part] of address.split('.').entries()) octets.writeUInt8(Number(part), 4 + at);
    return octets;
  }
  const octets = Buffer.alloc(28);
  octets.writeUInt16LE(family.inet6, 0);
  octets.writeUInt16BE(port, 2);
  const [head = '', tail] = withoutDottedQuad(address).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  for (const [at, group] of left.entries()) octets.writeUInt16BE(Number.parseInt(group, 16), 8 + 2 * at);
  for (const [at, group] of right.entries()) octets.writeUInt16BE(Number.parseInt(group, 16), 24 - 2 * (right.length - at));
  return octets;
}

/** `::ffff:10.0.0.1` as `::ffff:a00:1`; without the zone. */
function withoutDottedQuad(address: string): string {
  return (address.split('%')[0] ?? '').replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
    return `${group(a, b)}:${group(c, d)}`;
  });
}

function unixAddress(path: string): Buffer {
  const length = Buffer.byteLength(path);
  const isAbstract = path.startsWith('@');
  const longest = isAbstract ? maxPathBytes + 1 : maxPathBytes;
  if (length === 0 || length > longest) throw new ListenError('failed', `socket path ${path} is longer than ${longest} octets`);
  const octets = Buffer.alloc(2 + length + (isAbstract ? 0 : 1));
  octets.writeUInt16LE(family.unix, 0);
  octets.write(isAbstract ? `\0${path.slice(1)}` : path, 2);
  return octets;
}
