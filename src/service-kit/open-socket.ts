// Sockets made with all their options.
//
// net.Socket spreads the options that it is given into a new object, and then adds those that are missing. After a spread, the V8 of Node 20 gives each
// object that gets another property a hidden class of its own: 10 of the 18 µs that making and destroying a socket takes, slower access to the
// options of every stream in the process, and garbage that outlives all small collections. With nothing to add it does not happen. (The same goes
// for `{ ...a, b }` of ours, where `a` has no `b`: not in what each connection runs through.)
//
// A TLSSocket gives net.Socket half of its options, too: of the 0.5 ms that a TLS connection takes, 0.07 to 0.1 ms.
import net, { type Server, Socket } from 'node:net';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';

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

/** @throws TypeError when the descriptor is none of a stream socket */
export function socketOfDescriptor(fd: number, allowHalfOpen = false): Socket {
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
  const handle: unknown = '_handle' in server ? server._handle : undefined;
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

/** What TLSSocket gives net.Socket. */
const givenByTls = ['handle', 'allowHalfOpen', 'pauseOnCreate', 'manualStart', 'highWaterMark', 'onread', 'signal'];

type GivenByTls = Readonly<Record<string, unknown>>;

/** Another Node may give more, which must not be lost. */
function isKnown(options: GivenByTls): boolean {
  return Object.keys(options).every((name) => givenByTls.includes(name));
}

function wholeOptionsOf(given: GivenByTls): object {
  return {
    handle: given['handle'],
    allowHalfOpen: given['allowHalfOpen'] === true,
    pauseOnCreate: given['pauseOnCreate'],
    manualStart: given['manualStart'],
    highWaterMark: given['highWaterMark'],
    onread: given['onread'],
    signal: given['signal'],
    readable: true,
    writable: true,
    emitClose: false,
    autoDestroy: true,
    decodeStrings: false,
  };
}

/** Node's own. In bundles `Socket` is looked up in the module each time, and would be what replaces it. */
const NodeSocket = Socket;

function WholeSocket(this: Socket, given: GivenByTls): void {
  Reflect.apply(NodeSocket, this, [isKnown(given) ? wholeOptionsOf(given) : given]);
}
// For `instanceof`.
WholeSocket.prototype = NodeSocket.prototype;

/** A TLS stream over a socket. */
export function tlsOver(socket: Socket, options: TLSSocketOptions): TLSSocket {
  // Looked up first: bundles load the module here, and while it is loaded, it must see the Socket that stays.
  const Stream = TLSSocket;
  // TLSSocket calls what `net` shows as Socket at that moment. Nothing else runs while it does.
  const isReplaced = Reflect.set(net, 'Socket', WholeSocket);
  try {
    return new Stream(socket, options);
  } finally {
    if (isReplaced) Reflect.set(net, 'Socket', NodeSocket);
  }
}
