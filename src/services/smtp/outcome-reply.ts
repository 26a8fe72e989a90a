// Storage failures as SMTP replies, in one exhaustive table. 4xx: the sender keeps the message and tries again; 5xx: it bounces.
import { reply, type SmtpReply } from '#protocol/smtp/reply.js';
import type { StorageCode, StorageError } from '#storage/errors.js';

interface Row {
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
}

const rows: Readonly<Record<StorageCode, Row>> = {
  'not-found': { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
  exists: { code: 451, enhanced: '4.3.0', text: 'Temporary internal error' },
  'not-selectable': { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
  'over-quota': { code: 552, enhanced: '5.2.2', text: 'Quota exceeded (mailbox for user is full)' },
  'too-big': { code: 552, enhanced: '5.2.3', text: 'Message too large for this mailbox' },
  'read-only': { code: 451, enhanced: '4.2.0', text: 'Mailbox is read-only' },
  'no-permission': { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
  'invalid-name': { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
  'in-use': { code: 451, enhanced: '4.2.0', text: 'Mailbox is locked, try again later' },
  limit: { code: 452, enhanced: '4.2.0', text: 'Mailbox limit reached' },
  expunged: { code: 451, enhanced: '4.3.0', text: 'Temporary internal error' },
  'no-space': { code: 452, enhanced: '4.3.1', text: 'Out of disk space' },
  corrupt: { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
  'has-children': { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
  cannot: { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
  unavailable: { code: 451, enhanced: '4.2.0', text: 'Mailbox is not available' },
};

/** @param isFullTemporary quota_full_tempfail */
export function failureReply(error: StorageError, address: string, isFullTemporary: boolean): SmtpReply {
  const row = rows[error.code];
  if (error.code === 'over-quota') {
    // quota_exceeded_message, which is meant for whoever sent the message.
    const text = `<${address}> ${error.clientText ?? row.text}`;
    return isFullTemporary ? reply(452, '4.2.2', text) : reply(row.code, row.enhanced, text);
  }
  return reply(row.code, row.enhanced, `<${address}> ${row.text}`);
}
