// What a failure of the store is to an administrator.
import type { StorageCode, StorageError } from '#storage/errors.js';
import type { ExitReason } from '../exit-codes.js';

export const storageExit: Readonly<Record<StorageCode, ExitReason>> = {
  'not-found': 'not-found',
  exists: 'data',
  'not-selectable': 'not-found',
  'over-quota': 'cannot-create',
  'too-big': 'cannot-create',
  'read-only': 'permission',
  'no-permission': 'permission',
  'invalid-name': 'usage',
  'in-use': 'temporary',
  limit: 'cannot-create',
  expunged: 'temporary',
  'no-space': 'cannot-create',
  corrupt: 'temporary',
  'has-children': 'data',
  cannot: 'data',
  unavailable: 'temporary',
};

/** The text for people; an administrator may also see paths, which help where no text was made for clients. */
export function storageText(error: StorageError, isDebug: boolean): string {
  if (error.clientText === undefined) return error.message;
  return isDebug ? `${error.clientText} (${error.message})` : error.clientText;
}
