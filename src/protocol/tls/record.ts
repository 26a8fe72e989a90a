// The record layer of TLS 1.3 (RFC 8446 5): names and limits.
import { CodedError } from '#util/coded-error.js';
import { tagBytes } from './suites.js';

export const contentTypes = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;

export const headerBytes = 5;
/** Of what a record holds (RFC 8446 5.1). */
export const maxContentBytes = 16_384;
/** Of an encrypted record without its header (RFC 8446 5.2). */
export const maxCiphertextBytes = maxContentBytes + 256;
/** What a record without padding is longer than its content. */
export const overheadBytes = headerBytes + 1 + tagBytes;

/** The header that a record has outside, whatever it holds (RFC 8446 5.2). */
export function writeHeader(target: Buffer, length: number): void {
  target[0] = contentTypes.applicationData;
  // The version of TLS 1.2, for those between who would not let anything else pass.
  target[1] = 3;
  target[2] = 3;
  target[3] = length >> 8;
  target[4] = length & 0xff;
}

/** Alerts that this end sends, by their numbers (RFC 8446 6). */
export const alerts = {
  closeNotify: 0,
  unexpectedMessage: 10,
  badRecordMac: 20,
  recordOverflow: 22,
  illegalParameter: 47,
  decodeError: 50,
  internalError: 80,
} as const;

export type AlertName = keyof typeof alerts;

/** What the other end sent is no TLS; `code` is the alert that it is told. */
export class RecordError extends CodedError<AlertName> {
  override readonly name = 'RecordError';
}
