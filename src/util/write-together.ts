// What is written to one stream in one turn of the event loop leaves in one system call. Between processes that exchange small messages, the
// calls and the wake-ups of the other side cost more than the messages.
import type { Writable } from 'node:stream';

/**
 * To be called before each write. `end` sends what waits, `destroy` drops it. Nothing waits longer than the sockets that were ready together
 * take to be looked at.
 */
export function writeTogether(stream: Writable): void {
  if (stream.writableCorked > 0) return;
  stream.cork();
  setImmediate(uncork, stream);
}

function uncork(stream: Writable): void {
  stream.uncork();
}
