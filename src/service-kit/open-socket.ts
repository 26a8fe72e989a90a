// Sockets made with all their options.
//
// net.Socket spreads the options that it is given into a new object, and then adds those that are missing. After a spread, the V8 of Node 20 gives each
// object that gets another property a hidden class of its own: 10 of the 18 µs that making and destroying a socket takes, slower access to the
// options of every stream in the process, and garbage that outlives all small collections. With nothing to add it does not happen. (The same goes
// for `{ ...a, b }` of ours, where `a` has no `b`: not in what each connection runs through.)
import { type Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { handleDescriptor, handleOf } from '#util/node-handle.js';
import { openPoller } from './polling.js';
import { SocketStream } from './socket-stream.js';

/** The connection of a client, ours (socket-stream.ts) or Node's. */
export interface ClientSocket extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  destroySoon(): void;
}

/** What Node would add. */
interface WholeOptions {
  readonly readable: true;
  readonly writable: true;
  readonly allowHalfOpen: boolean;
  readonly emitClose: false;
  readonly autoDestroy: true;
  readonly decodeStrings: false;
}

interface HandleOptions extends WholeOptions {
  readonly handle: object;
}

/** Nothing between this stream and the kernel: its descriptor is all there is. */
export function isClientSocket(stream: Duplex): stream is ClientSocket {
  return stream instanceof SocketStream || (stream instanceof Socket && !(stream instanceof TLSSocket));
}

/** @throws TypeError when the descriptor is none of a stream socket */
export function socketOfDescriptor(fd: number, allowHalfOpen = false): ClientSocket {
  const poller = openPoller();
  return poller === undefined ? nodeSocketOfDescriptor(fd, allowHalfOpen) : new SocketStream(fd, poller, allowHalfOpen);
}

/**
 * For what needs one of Node's: TLS that Node does, HTTP. The given one ends with it, and ends it.
 * @param socket without readers
 * @throws TypeError when it is closed
 */
export function asNodeSocket(socket: ClientSocket): Socket {
  if (socket instanceof Socket) return socket;
  if (!(socket instanceof SocketStream)) throw new TypeError('not the connection of a client');
  const received = socket.stopReading();
  const successor = nodeSocketOfDescriptor(socket.give(), socket.allowHalfOpen);
  // An error always comes with 'close'.
  successor.on('error', () => undefined);
  successor.on('close', () => socket.destroy());
  socket.successor = successor;
  if (received.length > 0) successor.unshift(received);
  return successor;
}

/** The descriptor of a server or connection. */
export function descriptorOf(owner: Server | ClientSocket): number | undefined {
  if (owner instanceof SocketStream) return owner.fd < 0 ? undefined : owner.fd;
  return handleDescriptor(owner);
}

function nodeSocketOfDescriptor(fd: number, allowHalfOpen: boolean): Socket {
  const options: WholeOptions & { readonly fd: number } = {
    fd,
    readable: true,
    writable: true,
    allowHalfOpen,
    emitClose: false,
    autoDestroy: true,
    decodeStrings: false,
  };
  return new Socket(options);
}

interface AcceptingHandle {
  onconnection: (this: unknown, status: number, client: unknown) => void;
}

function acceptingHandleOf(server: Server): AcceptingHandle | undefined {
  const handle = handleOf(server);
  return isAccepting(handle) ? handle : undefined;
}

function isAccepting(handle: unknown): handle is AcceptingHandle {
  return typeof handle === 'object' && handle !== null && 'onconnection' in handle && typeof handle.onconnection === 'function';
}

/**
 * Makes the sockets of a server that listens, in place of Node, which makes them with half of their options. The server itself then knows nothing of its
 * connections. Where this Node keeps its handles elsewhere nothing happens, and the server emits 'connection' as ever.
 */
export function takeAccepted(server: Server, onSocket: (socket: Socket) => void): void {
  const handle = acceptingHandleOf(server);
  if (handle === undefined) return;
  const original = handle.onconnection;
  handle.onconnection = function (status, client): void {
    // Failures are Node's to report.
    if (status !== 0 || typeof client !== 'object' || client === null) original.call(this, status, client);
    else onSocket(socketOfHandle(client));
  };
}

interface TcpHandle {
  /** @returns 0, or an error code */
  setNoDelay(enable: boolean): number;
  setKeepAlive(enable: boolean, delaySeconds: number): number;
}

function isTcpHandle(handle: unknown): handle is TcpHandle {
  return typeof handle === 'object' && handle !== null && 'setNoDelay' in handle && 'setKeepAlive' in handle;
}

/**
 * TCP_NODELAY and keep-alive on the listening socket, from which Linux gives them to every connection: four system calls less for each.
 * @param keepAliveMs 0: none
 * @returns false when they have to be set on each connection
 */
export function setForAccepted(server: Server, keepAliveMs: number): boolean {
  const handle = handleOf(server);
  if (process.platform !== 'linux' || !isTcpHandle(handle)) return false;
  return handle.setNoDelay(true) === 0 && (keepAliveMs === 0 || handle.setKeepAlive(true, Math.floor(keepAliveMs / 1000)) === 0);
}

function socketOfHandle(handle: object): Socket {
  const options: HandleOptions = {
    handle,
    readable: true,
    writable: true,
    allowHalfOpen: false,
    emitClose: false,
    autoDestroy: true,
    decodeStrings: false,
  };
  return new Socket(options);
}
