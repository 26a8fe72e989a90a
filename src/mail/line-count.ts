// Counting LF octets in large buffers, four at a time.
import type { Buffer } from 'node:buffer';

const lineFeeds = 0x0a0a0a0a;

/** Number of LF octets in data[from, to). */
export function countLines(data: Buffer, from: number, to: number): number {
  if (to - from < 64) return countBytewise(data, from, to);
  const firstWord = (data.byteOffset + from + 3) >> 2;
  const endWord = (data.byteOffset + to) >> 2;
  const aligned = (firstWord << 2) - data.byteOffset;
  const alignedEnd = (endWord << 2) - data.byteOffset;
  let count = countBytewise(data, from, aligned) + countBytewise(data, alignedEnd, to);
  const words = new Int32Array(data.buffer, firstWord << 2, endWord - firstWord);
  const total = words.length;
  let index = 0;
  while (index < total) {
    // Each octet lane counts up to 255 before it is added up.
    const stop = Math.min(total, index + 255);
    let lanes = 0;
    for (; index < stop; index += 1) {
      const differs = (words[index] as number) ^ lineFeeds;
      // High bit of a lane is clear exactly when its octet was LF.
      const nonZero = ((differs & 0x7f7f7f7f) + 0x7f7f7f7f) | differs;
      lanes = (lanes + ((~nonZero >>> 7) & 0x01010101)) | 0;
    }
    count += (lanes & 0xff) + ((lanes >>> 8) & 0xff) + ((lanes >>> 16) & 0xff) + (lanes >>> 24);
  }
  return count;
}

function countBytewise(data: Buffer, from: number, to: number): number {
  let count = 0;
  for (let index = from; index < to; index += 1) if (data[index] === 0x0a) count += 1;
  return count;
}
