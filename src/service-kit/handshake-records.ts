// The records of a handshake of TLS, as whoever stands between socket and engine sees them.
import type { Direction } from '#protocol/tls/direction.js';
import { RecordOpener } from '#protocol/tls/opener.js';
import { contentTypes, headerBytes, RecordError } from '#protocol/tls/record.js';

/** With a handshake in plaintext, or encrypted by TLS 1.2 (RFC 5246 6.2.3). */
const maxHandshakeRecordBytes = headerBytes + 16_384 + 2_048;

/** Undefined while its header has not come. What cannot be a record is the engine's to refuse, as it comes. */
export function recordLength(octets: Buffer, offset: number): number | undefined {
  const type = octets[offset] ?? 0;
  const rest = octets.length - offset;
  if (type < contentTypes.changeCipherSpec || type > contentTypes.applicationData) return rest;
  if (rest < headerBytes) return undefined;
  const length = headerBytes + octets.readUInt16BE(offset + 3);
  return length > maxHandshakeRecordBytes ? rest : length;
}

/**
 * Goes over the records that were sent under a new secret, which are the tickets for resumption. The last of them is opened, so that a number that was
 * used is never used again.
 * @param direction at its first record; at the next one then
 * @throws RecordError, TlsError
 */
export function skipRecords(octets: Buffer, direction: Direction): void {
  let count = 0;
  let last = octets;
  for (let offset = 0; offset < octets.length; ) {
    const length = headerBytes + octets.readUInt16BE(offset + 3);
    last = octets.subarray(offset, offset + length);
    offset += length;
    count += 1;
  }
  if (count === 0) return;
  direction.skip(count - 1);
  const record = new RecordOpener(direction, last).next();
  if (record?.type !== contentTypes.handshake) throw new RecordError('internalError', 'a ticket was expected');
}
