import type { Writable } from 'node:stream';

/** Waits until all that was written has been taken. @returns false when that takes longer, or fails */
export function flushed(stream: Writable, timeoutMs: number): Promise<boolean> {
  if (stream.writableLength === 0) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), timeoutMs);
    stream.write('', (error) => {
      clearTimeout(timer);
      resolve(error === undefined || error === null);
    });
  });
}
