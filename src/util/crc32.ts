// CRC-32 (IEEE 802.3, as in zlib). node:zlib has it since 20.15; older ones get a table.
import * as zlib from 'node:zlib';

let table: Uint32Array | undefined;

function makeTable(): Uint32Array {
  const entries = new Uint32Array(256);
  for (let index = 0; index < 256; index += 1) {
    let value = index;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    entries[index] = value;
  }
  return entries;
}

/** Table-driven CRC-32, for Node releases without zlib.crc32. */
export function crc32Portable(bytes: Uint8Array, seed = 0): number {
  table ??= makeTable();
  let value = ~seed;
  for (let index = 0; index < bytes.length; index += 1) {
    value = (value >>> 8) ^ (table[(value ^ (bytes[index] as number)) & 0xff] as number);
  }
  return ~value >>> 0;
}

/** @param seed the CRC of the bytes before, to continue */
export const crc32: (bytes: Uint8Array, seed?: number) => number = typeof zlib.crc32 === 'function' ? zlib.crc32 : crc32Portable;

/** The product of two polynomials modulo that of the CRC; the top bit is x^0. */
function multiply(left: number, right: number): number {
  let product = 0;
  for (let bit = 0x80000000, factor = right; bit !== 0; bit >>>= 1) {
    if ((left & bit) !== 0) product ^= factor;
    factor = factor & 1 ? (factor >>> 1) ^ 0xedb88320 : factor >>> 1;
  }
  return product >>> 0;
}

/**
 * The CRC of two parts, one behind the other, from that of each.
 *
 * A CRC is a remainder of polynomials: `octets` behind the first part multiply it by x^(8 * octets).
 * @param octets of the second part
 */
export function joinedCrc32(first: number, second: number, octets: number): number {
  let shift = 0x80000000;
  for (let left = octets, power = 0x00800000; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) shift = multiply(shift, power);
    power = multiply(power, power);
  }
  return (multiply(shift, first) ^ second) >>> 0;
}
