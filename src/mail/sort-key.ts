// Sort keys of SORT (RFC 5256 3) and SORT=DISPLAY (RFC 5957), made once per message. Text keys compare with `compareKeys`.
import { type MailAddress, parseAddressList } from './address.js';
import { baseSubject } from './base-subject.js';
import { collationKey } from './collation.js';
import { type MessageDate, parseMessageDate } from './date.js';
import { decodeWords } from './encoded-word.js';
import type { OctetString } from './mime-part.js';

/** CC, FROM, TO: the mailbox (local part) of the first address; '' when the field is missing. @param field raw value, unfolded */
export function addressKey(field: OctetString | undefined): string {
  const mailbox = firstAddress(field)?.mailbox;
  return mailbox === undefined || mailbox === null ? '' : collationKey(decodeWords(mailbox));
}

/** DISPLAYFROM, DISPLAYTO: the decoded name of the first address, else `mailbox@host` (RFC 5957 3). */
export function displayKey(field: OctetString | undefined): string {
  const address = firstAddress(field);
  if (address === undefined) return '';
  if (address.name !== null && address.name !== '') return collationKey(decodeWords(address.name));
  const mailbox = decodeWords(address.mailbox ?? '');
  return collationKey(address.host === null ? mailbox : `${mailbox}@${decodeWords(address.host)}`);
}

/** SUBJECT: the base subject. */
export function subjectKey(field: OctetString | undefined): string {
  return field === undefined ? '' : collationKey(baseSubject(field).text);
}

/** DATE: the sent date in UTC, or the internal date when it is missing or broken (RFC 5256 2.2). ms since the epoch. */
export function sentDateMs(field: OctetString | undefined, internalDateMs: number): number {
  return sentDate(field)?.ms ?? internalDateMs;
}

/** The Date field's value. */
export function sentDate(field: OctetString | undefined): MessageDate | undefined {
  return field === undefined ? undefined : parseMessageDate(field);
}

function firstAddress(field: OctetString | undefined): MailAddress | undefined {
  return field === undefined ? undefined : parseAddressList(field, 1)[0];
}
