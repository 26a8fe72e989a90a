// Short texts written into a buffer by loops: for some tens of octets a call into the runtime costs more than the octets.
import type { Buffer } from 'node:buffer';

/** @param text latin1, its first `length` characters are written. @returns the place behind them */
export function putLatin1(target: Buffer, at: number, text: string, length: number): number {
  for (let index = 0; index < length; index += 1) target[at + index] = text.charCodeAt(index);
  return at + length;
}

/** @returns the place behind the octets */
export function putOctets(target: Buffer, at: number, octets: Uint8Array): number {
  const { length } = octets;
  for (let index = 0; index < length; index += 1) target[at + index] = octets[index] as number;
  return at + length;
}

/** @param value 0 to 2^32-1, written in decimal. @returns the place behind it */
export function putDecimal(target: Buffer, at: number, value: number): number {
  // Beyond 31 bits the divisions below would leave small integers.
  if (value > 0x7fffffff) return at + target.write(String(value), at, 'latin1');
  let end = at + 1;
  for (let rest = (value / 10) | 0; rest > 0; rest = (rest / 10) | 0) end += 1;
  let rest = value;
  for (let place = end - 1; place >= at; place -= 1) {
    const tenth = (rest / 10) | 0;
    target[place] = rest - tenth * 10 + 0x30;
    rest = tenth;
  }
  return end;
}
