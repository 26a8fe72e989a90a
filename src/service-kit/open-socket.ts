// Sockets made with all their options.
//
// net.Socket spreads the options that it is given into a new object, and then adds those that are missing. After a spread, the V8 of Node 20 gives each
// object that gets another property a hidden class of its own: 10 of the 18 µs that making and destroying a socket takes, slower access to the
// options of every stream in the process, and garbage that outlives all small collections. With nothing to add it does not happen. (The same goes
// for `{ ...a, b }` of ours, where `a` has no `b`: not in what each connection runs through.)
import { type Server, Socket } from 'node:net';

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
