// What lies in a stretch of a log, looked at before any of it is applied.
import type { Buffer } from 'node:buffer';
import { nextRecord, recordAt } from './log-reader.js';
import { recordKind } from './log-record.js';

export interface LogRange {
  /** In file order, without the seal. */
  readonly records: readonly Buffer[];
  /** Octets that need not be looked at again; up to and including a seal. */
  readonly length: number;
  /** Id of the log that goes on. */
  readonly sealedTo: number | undefined;
  /** What was skipped, with valid records behind it. */
  readonly torn: readonly { readonly at: number; readonly octets: number }[];
}

/** @param isWhole nobody is writing any more, so what looks incomplete is torn */
export function readLogRange(bytes: Buffer, isWhole: boolean): LogRange {
  const records: Buffer[] = [];
  const torn: { at: number; octets: number }[] = [];
  let length = 0;
  for (;;) {
    const found = recordAt(bytes, length);
    if (found.kind === 'record') {
      length += found.bytes.length;
      if (found.bytes.readUInt32LE(8) === recordKind.seal) return { records, length, sealedTo: found.bytes.readDoubleLE(16), torn };
      records.push(found.bytes);
      continue;
    }
    if (length >= bytes.length || (found.kind === 'more' && !isWhole)) break;
    const next = nextRecord(bytes, length + 1);
    if (next < 0) break;
    torn.push({ at: length, octets: next - length });
    length = next;
  }
  return { records, length, sealedTo: undefined, torn };
}
