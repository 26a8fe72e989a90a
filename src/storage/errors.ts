import { CodedError } from '#util/coded-error.js';

/** Closed list: each role maps every code to a reply in one table. */
export type StorageCode =
  | 'not-found' // no such mailbox, or the message is gone
  | 'exists'
  | 'not-selectable'
  | 'over-quota'
  | 'too-big'
  | 'read-only'
  | 'no-permission'
  | 'invalid-name'
  | 'in-use' // a lock was not free in time
  | 'limit' // too many keywords, mailboxes, ...
  | 'expunged' // the message was expunged by another session
  | 'no-space'
  | 'corrupt'
  | 'has-children' // only what has none can be deleted
  | 'cannot' // the operation makes no sense here (delete INBOX, ...)
  | 'unavailable'; // I/O error, see `cause`

export class StorageError extends CodedError<StorageCode> {
  override readonly name = 'StorageError';
}
