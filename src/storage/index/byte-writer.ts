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
  readonly #end: number;
  position: number;

  /** @param end where there is nothing more to read */
  constructor(buffer: Buffer, position = 0, end = buffer.length) {
    this.#buffer = buffer;
    this.#end = Math.min(end, buffer.length);
    this.position = position;
  }

  get left(): number {
    return this.#end - this.position;
  }
  u8(): number {
    return this.#buffer[this.#take(1)] as number;
  }
  u16(): number {
    const at = this.#take(2);
    return (this.#buffer[at] as number) | ((this.#buffer[at + 1] as number) << 8);
  }
  u32(): number {
    const at = this.#take(4);
    const buffer = this.#buffer;
    const low = (buffer[at] as number) | ((buffer[at + 1] as number) << 8) | ((buffer[at + 2] as number) << 16);
    return low + (buffer[at + 3] as number) * 0x1000000;
  }
  f64(): number {
    return this.#buffer.readDoubleLE(this.#take(8));
  }
  bytes(count: number): Buffer {
    const at = this.#take(count);
    return this.#buffer.subarray(at, at + count);
  }
  text(): string {
    const length = this.u16();
    return length === 0 ? '' : this.bytes(length).toString('utf8');
  }

  /** @returns where they begin */
  #take(count: number): number {
    const at = this.position;
    if (count > this.#end - at) throw new RangeError('past the end');
    this.position = at + count;
    return at;
  }
}
