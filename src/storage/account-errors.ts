// What an account says of names that lead nowhere. One text each: who may not see a mailbox is told the same as where there is none.
import { StorageError } from './errors.js';

export function notFound(name: string): StorageError {
  return new StorageError('not-found', `no mailbox ${JSON.stringify(name)}`, { clientText: `Mailbox doesn't exist: ${name}` });
}

export function notSelectable(name: string): StorageError {
  return new StorageError('not-selectable', `${JSON.stringify(name)} only holds other mailboxes`, {
    clientText: `Mailbox isn't selectable: ${name}`,
  });
}

export function mailboxExists(name: string): StorageError {
  return new StorageError('exists', `mailbox ${JSON.stringify(name)} exists`, { clientText: 'Mailbox already exists' });
}

export function denied(name: string): StorageError {
  return new StorageError('no-permission', `no permission for ${name}`, { clientText: 'Permission denied' });
}
