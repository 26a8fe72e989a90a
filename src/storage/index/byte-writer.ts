// Little-endian values appended to a growing buffer, and read back with bounds checks.
import { putLatin1 } from '#util/put-text.js';

export class ByteWriter {
  #buffer: Buffer;
  length = 0;

  constructor(capacity = 256) {
    // Records of few messages share memory, which costs a quarter of memory of their own; nobody keeps them.
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.length] = value;
    this.length += 1;
  }
  u16(value: number): void {
    this.#reserve(2);
    const { length } = this;
    this.#buffer[length] = value;
    this.#buffer[length + 1] = value >>> 8;
    this.length = length + 2;
  }
  u32(value: number): void {
    this.#reserve(4);
    // Octet by octet: records have many numbers, and a process that has just started runs this uncompiled.
    const { length } = this;
    this.#buffer[length] = value;
    this.#buffer[length + 1] = value >>> 8;
    this.#buffer[length + 2] = value >>> 16;
    this.#buffer[length + 3] = value >>> 24;
    this.length = length + 4;
  }
  f64(value: number): void {
    this.#reserve(8);
    this.length = this.#buffer.writeDoubleLE(value, this.length);
  }
  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.length);
    this.length += value.length;
  }
  /** The first `length` characters, an octet each. */
  latin1(text: string, length: number): void {
    this.#reserve(length);
    this.length = putLatin1(this.#buffer, this.length, text, length);
  }
  /** Room for octets that the caller writes into `octets` before the next call. @returns where */
  skip(count: number): number {
    this.#reserve(count);
    const at = this.length;
    this.length += count;
    return at;
  }
  get octets(): Buffer {
    return this.#buffer;
  }
  /** u16 length, then UTF-8. */
  text(value: string): void {
    if (value === '') {
      this.u16(0);
      return;
    }
    const bytes = Buffer.from(value, 'utf8');
    this.u16(bytes.length);
    this.bytes(bytes);
  }
  align(to: number): void {
    while (this.length % to !== 0) this.u8(0);
  }
  patchU32(at: number, value: number): void {
    this.#buffer.writeUInt32LE(value, at);
  }
  /** What was written; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.length + count));
    grown.set(this.#buffer.subarray(0, this.length));
    this.#buffer = grown;
  }
}

/** @throws RangeError past the end: the caller treats the record as corrupt */
export class ByteReader {
  readonly #buffer: Buffer;
  position: number;

  constructor(buffer: Buffer, position = 0) {
    this.#buffer = buffer;
    this.position = position;
  }

  get left(): number {
    return this.#buffer.length - this.position;
  }
  u8(): number {
    const value = this.#buffer.readUInt8(this.position);
    this.position += 1;
    return value;
  }
  u16(): number {
    const value = this.#buffer.readUInt16LE(this.position);
    this.position += 2;
    return value;
  }
  u32(): number {
    const value = this.#buffer.readUInt32LE(this.position);
    this.position += 4;
    return value;
  }
  f64(): number {
    const value = this.#buffer.readDoubleLE(this.position);
    this.position += 8;
    return value;
  }
  bytes(count: number): Buffer {
    if (count > this.left) throw new RangeError('past the end');
    const value = this.#buffer.subarray(this.position, this.position + count);
    this.position += count;
    return value;
  }
  text(): string {
    const length = this.u16();
    return length === 0 ? '' : this.bytes(length).toString('utf8');
  }
}
