// What is written to one stream in one turn of the event loop leaves in one system call. Between processes that exchange small messages, the
// calls and the wake-ups of the other side cost more than the messages.
import type { Writable } from 'node:stream';

/** Streams whose messages wait for a pause to end. */
const pausing = new WeakMap<Writable, NodeJS.Timeout>();
/** When `writeSparsely` sent something last, ms. */
const sentAtMs = new WeakMap<Writable, number>();

/**
 * To be called before each write. `end` sends what waits, `destroy` drops it. Nothing waits longer than the sockets that were ready together
 * take to be looked at.
 */
export function writeTogether(stream: Writable): void {
  const timer = pausing.get(stream);
  if (timer !== undefined) {
    // Somebody waits for what comes now; what could have waited goes along.
    clearTimeout(timer);
    pausing.delete(stream);
  } else if (stream.writableCorked > 0) return;
  else stream.cork();
  setImmediate(uncork, stream);
}

/**
 * The same for messages that keep nobody waiting: after a pause they leave at the end of the turn, those that follow closely together, at least
 * `pauseMs` after the last ones.
 */
export function writeSparsely(stream: Writable, pauseMs: number): void {
  if (stream.writableCorked > 0) return;
  stream.cork();
  const nowMs = performance.now();
  const waitMs = (sentAtMs.get(stream) ?? Number.NEGATIVE_INFINITY) + pauseMs - nowMs;
  sentAtMs.set(stream, nowMs + Math.max(0, waitMs));
  if (waitMs <= 0) setImmediate(uncork, stream);
  else pausing.set(stream, setTimeout(endPause, waitMs, stream));
}

function endPause(stream: Writable): void {
  pausing.delete(stream);
  stream.uncork();
}

function uncork(stream: Writable): void {
  stream.uncork();
}
