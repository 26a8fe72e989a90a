// The compression functions of MD4 (RFC 1320) and MD5 (RFC 1321). node:crypto has no MD4 and does not show MD5's chaining value, which
// is what a stored CRAM-MD5 password is (the HMAC state after the key block). For old password formats only.

const md5Shifts = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
] as const;
const md4Shifts = [
  [3, 7, 11, 19],
  [3, 5, 9, 13],
  [3, 9, 11, 15],
] as const;
const md4Order = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
  [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
] as const;

/** Chaining value: four 32-bit words. */
export type DigestState = readonly [number, number, number, number];

/** Initial value of both functions. */
export const initialDigestState: DigestState = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476];

const rotateLeft = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

/** Takes in one block of 64 octets at `offset`. */
export function md5Compress(state: DigestState, block: Buffer, offset = 0): DigestState {
  let [a, b, c, d] = state;
  for (let step = 0; step < 64; step += 1) {
    const round = step >> 4;
    let mixed: number;
    let word: number;
    if (round === 0) {
      mixed = (b & c) | (~b & d);
      word = step;
    } else if (round === 1) {
      mixed = (d & b) | (~d & c);
      word = (5 * step + 1) & 15;
    } else if (round === 2) {
      mixed = b ^ c ^ d;
      word = (3 * step + 5) & 15;
    } else {
      mixed = c ^ (b | ~d);
      word = (7 * step) & 15;
    }
    const constant = Math.floor(Math.abs(Math.sin(step + 1)) * 0x1_0000_0000) | 0;
    const sum = (a + mixed + constant + block.readInt32LE(offset + word * 4)) | 0;
    const shift = md5Shifts[round]?.[step & 3] ?? 0;
    [a, d, c, b] = [d, c, b, (b + rotateLeft(sum, shift)) | 0];
  }
  return [(state[0] + a) | 0, (state[1] + b) | 0, (state[2] + c) | 0, (state[3] + d) | 0];
}

function md4Compress(state: DigestState, block: Buffer, offset: number): DigestState {
  let [a, b, c, d] = state;
  for (let step = 0; step < 48; step += 1) {
    const round = step >> 4;
    const mixed = round === 0 ? (b & c) | (~b & d) : round === 1 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
    const constant = round === 0 ? 0 : round === 1 ? 0x5a827999 : 0x6ed9eba1;
    const word = md4Order[round]?.[step & 15] ?? 0;
    const sum = (a + mixed + constant + block.readInt32LE(offset + word * 4)) | 0;
    [a, d, c, b] = [d, c, b, rotateLeft(sum, md4Shifts[round]?.[step & 3] ?? 0)];
  }
  return [(state[0] + a) | 0, (state[1] + b) | 0, (state[2] + c) | 0, (state[3] + d) | 0];
}

/** Four little-endian words. */
export function encodeDigestState(state: DigestState): Buffer {
  const out = Buffer.alloc(16);
  state.forEach((word, index) => {
    out.writeInt32LE(word, index * 4);
  });
  return out;
}

export function decodeDigestState(raw: Buffer, offset = 0): DigestState {
  return [raw.readInt32LE(offset), raw.readInt32LE(offset + 4), raw.readInt32LE(offset + 8), raw.readInt32LE(offset + 12)];
}

/** Message plus padding; `already` octets were taken in before it. */
function pad(message: Buffer, already: number): Buffer {
  const length = (message.length + 9 + 63) & ~63;
  const out = Buffer.alloc(length);
  message.copy(out);
  out[message.length] = 0x80;
  out.writeBigUInt64LE(BigInt(message.length + already) * 8n, length - 8);
  return out;
}

/** Ends an MD5 whose first `already` octets (a multiple of 64) gave `state`. */
export function md5Finish(state: DigestState, message: Buffer, already: number): Buffer {
  const padded = pad(message, already);
  let current = state;
  for (let offset = 0; offset < padded.length; offset += 64) current = md5Compress(current, padded, offset);
  return encodeDigestState(current);
}

export function md4(message: Buffer): Buffer {
  const padded = pad(message, 0);
  let current = initialDigestState;
  for (let offset = 0; offset < padded.length; offset += 64) current = md4Compress(current, padded, offset);
  return encodeDigestState(current);
}

/** HMAC-MD5 key states: inner then outer, as stored in {CRAM-MD5} passwords. */
export function hmacMd5KeyStates(key: Buffer, md5: (raw: Buffer) => Buffer): Buffer {
  const block = Buffer.alloc(64);
  (key.length > 64 ? md5(key) : key).copy(block);
  const inner = Buffer.from(block.map((octet) => octet ^ 0x36));
  const outer = Buffer.from(block.map((octet) => octet ^ 0x5c));
  // Dovecot stores the outer state first.
  return Buffer.concat([
    encodeDigestState(md5Compress(initialDigestState, outer)),
    encodeDigestState(md5Compress(initialDigestState, inner)),
  ]);
}

/** HMAC-MD5 of a message from the stored key states. */
export function hmacMd5FromStates(states: Buffer, message: Buffer): Buffer {
  const inner = md5Finish(decodeDigestState(states, 16), message, 64);
  return md5Finish(decodeDigestState(states, 0), inner, 64);
}
