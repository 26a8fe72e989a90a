// The end of a connection whose client did not ask for it, and may be saying something just then.
//
// Closing a socket in which input waits unread makes a reset of the end, and so does input that comes after it; what relays TLS fails to write. Each of
// them may take away the last words from a client that has not read them yet.
import type { Duplex } from 'node:stream';

/** A client has this long to hear the last words and close its side. */
const lingerMs = 2_000;

/**
 * Ends our side after what was written; what the client still says is read and dropped until it has closed its side.
 * @param stream without readers
 * @param waitMs a client that does not close its side, or does not read, is cut off then
 * @returns resolves when the stream is closed; never rejects
 */
export function closeWhenHeard(stream: Duplex, waitMs = lingerMs): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) {
      resolve();
      return;
    }
    const timer = setTimeout(() => stream.destroy(), waitMs);
    stream.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    stream.on('error', ignore);
    stream.resume();
    // It closes by itself once both sides have ended.
    stream.end();
  });
}

const ignore = (): undefined => undefined;
