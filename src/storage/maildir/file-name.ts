// Names of message files: `<seconds>.M<microseconds>P<pid>R<random>.<host>,S=<octets>,W=<octets>:2,<flags>`.
//
// The letters are those of the Maildir convention. Microseconds and pid are not enough: containers share pid and host name, and pids come again. R is
// drawn once by each maker.
//
// A base name is everything before the first colon; it is what dovecot-uidlist holds. Names are handled as latin1 strings, one character an octet,
// because a file name need not be UTF-8.
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** Makes base names that no other process, host or earlier call has made. */
export class NameMaker {
  readonly #host: string;
  readonly #maker: string;
  #lastMicros = 0;

  constructor(host = hostname(), pid = process.pid) {
    this.#host = host.replace(/[/:,\s]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
    this.#maker = `P${pid}R${randomBytes(6).toString('hex')}`;
  }

  /** Without sizes. */
  next(nowMs = Date.now()): string {
    // A clock that stands still or goes back must not give a name twice.
    this.#lastMicros = Math.max(this.#lastMicros + 1, nowMs * 1000);
    const seconds = Math.floor(this.#lastMicros / 1_000_000);
    return `${seconds}.M${this.#lastMicros - seconds * 1_000_000}${this.#maker}.${this.#host}`;
  }
}

export function sizedName(name: string, size: number, virtualSize: number): string {
  return `${name},S=${size},W=${virtualSize}`;
}

/** Length of the base name in a file name. */
export function baseLength(fileName: string): number {
  const colon = fileName.indexOf(':');
  return colon < 0 ? fileName.length : colon;
}

/**
 * When a name says that its message came. Names are in order of arrival by seconds, microseconds, then the octets of the base name; one that tells
 * nothing comes last.
 */
export function arrivalOf(name: string): readonly [seconds: number, micros: number] {
  let at = digitsEnd(name, 0, 12);
  if (at === 0 || name.charCodeAt(at) !== 0x2e) return [Number.MAX_SAFE_INTEGER, 0];
  const seconds = numberIn(name, 0, at);
  at += 1;
  // `M1234`, maybe behind other parts of the unique name.
  for (const stop = at + 40; at <= stop; at += 1) {
    const code = name.charCodeAt(at);
    if (code === 0x4d) {
      const end = digitsEnd(name, at + 1, 6);
      if (end > at + 1) return [seconds, numberIn(name, at + 1, end)];
    }
    if (code === 0x2c || code === 0x3a || Number.isNaN(code)) break;
  }
  return [seconds, 0];
}

function digitsEnd(name: string, from: number, atMost: number): number {
  let at = from;
  while (at < from + atMost && isDigit(name.charCodeAt(at))) at += 1;
  return at;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function numberIn(name: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at += 1) value = value * 10 + name.charCodeAt(at) - 0x30;
  return value;
}

/** The name without `,S=` and `,W=`. */
export function withoutSizes(baseName: string): string {
  return baseName.replace(/,[SW]=\d*(?=,|$)/g, '');
}

const beyondAscii = /[^\x00-\x7f]/;

/** Path of a file whose name is latin1 octets; a Buffer only where a string would be encoded as other octets. */
export function pathIn(folder: string, fileName: string): string | Buffer {
  if (!beyondAscii.test(fileName)) return `${folder}/${fileName}`;
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(fileName, 'latin1')]);
}
