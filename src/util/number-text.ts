// Long lists of numbers as text: hundreds of kilobytes in the reply to a search. Joining strings takes four times as long.
import { Buffer } from 'node:buffer';
import { putDecimal } from './put-text.js';

/** Digits of 2^32-1, and a separator. */
const mostOctets = 11;
const blockBytes = 16_384;
/** What one call of the kernel's takes well. */
const replyBlockBytes = 65_536;
const space = 0x20;
const comma = 0x2c;
const colon = 0x3a;

/** ` 1 2 3`: each with a space before it, in blocks of octets. @param numbers 0 to 2^32-1 */
export function spacedNumbers(numbers: ArrayLike<number>): Buffer[] {
  const { length } = numbers;
  const blocks: Buffer[] = [];
  for (let next = 0; next < length; ) {
    const end = Math.min(length, next + Math.floor(replyBlockBytes / mostOctets));
    const block = Buffer.allocUnsafe((end - next) * mostOctets);
    blocks.push(block.subarray(0, putNumbers(block, numbers, next, end)));
    next = end;
  }
  return blocks;
}

/** Pairs in the order given: `3,1:2` for [3, 1, 2] (COPYUID keeps the order of copies). @param numbers 0 to 2^32-1 */
export function formatNumbers(numbers: ArrayLike<number>): string {
  const { length } = numbers;
  const block = Buffer.allocUnsafe(Math.min(blockBytes, (length + 1) * mostOctets));
  let text = '';
  let at = 0;
  for (let index = 0; index < length; index += 1) {
    const first = numbers[index] as number;
    let last = first;
    while (index + 1 < length && numbers[index + 1] === last + 1) {
      index += 1;
      last += 1;
    }
    if (at + 2 * mostOctets > block.length) {
      text += block.toString('latin1', 0, at);
      at = 0;
    }
    at = putDecimal(block, at, first);
    if (last > first) {
      block[at] = colon;
      at = putDecimal(block, at + 1, last);
    }
    block[at] = comma;
    at += 1;
  }
  return (text + block.toString('latin1', 0, at)).slice(0, -1);
}

/** Each with a space before it. @returns octets */
function putNumbers(block: Buffer, numbers: ArrayLike<number>, from: number, to: number): number {
  let at = 0;
  for (let index = from; index < to; index += 1) {
    block[at] = space;
    at = putDecimal(block, at + 1, numbers[index] as number);
  }
  return at;
}
