// Taking a socket's reading side away from a role, so that not one octet is read any more by this process.
//
// pause() is not enough: a paused net.Socket goes on reading until its buffer is full, and read(), or the tick after a 'data' event, starts the
// handle again. Octets read after a descriptor was sent away would be lost. So the buffer is emptied first, which leaves the stream believing
// that a read is under way and keeps it from starting another, and the handle is stopped last, in the same turn of the event loop.
import type { Duplex } from 'node:stream';
import { handleOf } from '#util/node-handle.js';
import type { ClientSocket } from './open-socket.js';
import { SocketStream } from './socket-stream.js';

interface ReadableHandle {
  readStop(): unknown;
  readStart(): unknown;
  reading: boolean;
}

function isReadableHandle(value: unknown): value is ReadableHandle {
  return typeof value === 'object' && value !== null && 'readStop' in value && 'readStart' in value && 'reading' in value;
}

/** @returns undefined after close */
function readableOf(socket: ClientSocket): ReadableHandle | undefined {
  const handle = handleOf(socket);
  return isReadableHandle(handle) ? handle : undefined;
}

/**
 * Takes the readers off a socket and stops reading.
 * @returns what the socket has read and nobody has taken
 */
export function stopReading(socket: ClientSocket): Buffer {
  if (socket instanceof SocketStream) return socket.stopReading();
  socket.removeAllListeners('data');
  socket.removeAllListeners('readable');
  socket.pause();
  const chunks: Buffer[] = [];
  for (let chunk: unknown = socket.read(); Buffer.isBuffer(chunk); chunk = socket.read()) chunks.push(chunk);
  const handle = readableOf(socket);
  if (handle !== undefined) {
    handle.readStop();
    handle.reading = false;
  }
  return Buffer.concat(chunks);
}

/** Undoes `stopReading`: the socket reads into its buffer again; the caller attaches a reader or calls `resume`. */
export function continueReading(socket: ClientSocket): void {
  if (socket instanceof SocketStream) {
    socket.continueReading();
    return;
  }
  const handle = readableOf(socket);
  if (handle === undefined || handle.reading) return;
  handle.reading = true;
  handle.readStart();
}

/**
 * Makes a paused stream one that nobody has paused: it flows as soon as somebody listens for 'data'. (resume() would throw away what comes
 * before that.)
 */
export async function forgetPause(stream: Duplex): Promise<void> {
  // A stream that has lost its last 'readable' listener forgets that it was paused, in a tick that it asks for here, before ours.
  stream.on('readable', ignore);
  stream.off('readable', ignore);
  await new Promise<void>((resolve) => process.nextTick(resolve));
}

const ignore = (): undefined => undefined;
