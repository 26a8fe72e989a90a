// Storage errors to tagged replies, in one table.
import type { StorageCode, StorageError } from '#storage/errors.js';
import { no, type Outcome } from './outcome.js';

interface ReplyRow {
  readonly code: string | undefined;
  readonly text: string;
}

/** Texts that administrators and clients know from Dovecot. `{mailbox}` is not filled in: names are in the error's own client text. */
const replies: Readonly<Record<StorageCode, ReplyRow>> = {
  'not-found': { code: 'NONEXISTENT', text: "Mailbox doesn't exist" },
  exists: { code: 'ALREADYEXISTS', text: 'Mailbox already exists' },
  'not-selectable': { code: 'CANNOT', text: "Mailbox isn't selectable" },
  'over-quota': { code: 'OVERQUOTA', text: 'Quota exceeded (mailbox for user is full)' },
  'too-big': { code: 'TOOBIG', text: 'Message is too large' },
  'read-only': { code: 'NOPERM', text: 'Mailbox is read-only' },
  'no-permission': { code: 'NOPERM', text: 'Permission denied' },
  'invalid-name': { code: 'CANNOT', text: 'Invalid mailbox name' },
  'in-use': { code: 'INUSE', text: 'Timeout while waiting for lock' },
  limit: { code: 'LIMIT', text: 'Limit exceeded' },
  expunged: { code: 'EXPUNGEISSUED', text: 'Some messages were already expunged.' },
  'no-space': { code: 'OVERQUOTA', text: 'Not enough disk space' },
  corrupt: { code: 'CORRUPTION', text: 'Mailbox is damaged' },
  'has-children': { code: 'HASCHILDREN', text: 'Mailbox has children, delete them first' },
  cannot: { code: 'CANNOT', text: 'Operation not possible' },
  unavailable: { code: 'UNAVAILABLE', text: 'Mailbox is temporarily unavailable' },
};

/** Codes that are nobody's mistake in particular: the log gets the whole error. */
const loggedCodes: ReadonlySet<StorageCode> = new Set(['in-use', 'no-space', 'corrupt', 'unavailable']);

export function shouldLog(error: StorageError): boolean {
  return loggedCodes.has(error.code);
}

/** @param isTarget the missing mailbox is the target of APPEND, COPY or MOVE: the client may create it (RFC 9051 7.1 TRYCREATE) */
export function replyToStorageError(error: StorageError, isTarget = false): Outcome {
  const reply = replies[error.code];
  const code = error.code === 'not-found' && isTarget ? 'TRYCREATE' : reply.code;
  return no(error.clientText ?? reply.text, code);
}

/** For failures that are our own fault: the text points to the log by its time stamp. */
export function internalError(now: Date): Outcome {
  const two = (value: number): string => String(value).padStart(2, '0');
  const stamp = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  return no(`Internal error occurred. Refer to server log for more information. [${stamp}]`, 'SERVERBUG');
}
