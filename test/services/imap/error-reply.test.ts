import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { internalError, replyToStorageError, shouldLog } from '#services/imap/error-reply.js';
import { type StorageCode, StorageError } from '#storage/errors.js';

/** Every code of the contract: the compiler refuses a table that misses one. */
const expected: Record<StorageCode, { readonly code: string; readonly isLogged: boolean }> = {
  'not-found': { code: 'NONEXISTENT', isLogged: false },
  exists: { code: 'ALREADYEXISTS', isLogged: false },
  'not-selectable': { code: 'CANNOT', isLogged: false },
  'over-quota': { code: 'OVERQUOTA', isLogged: false },
  'too-big': { code: 'TOOBIG', isLogged: false },
  'read-only': { code: 'NOPERM', isLogged: false },
  'no-permission': { code: 'NOPERM', isLogged: false },
  'invalid-name': { code: 'CANNOT', isLogged: false },
  'in-use': { code: 'INUSE', isLogged: true },
  limit: { code: 'LIMIT', isLogged: false },
  expunged: { code: 'EXPUNGEISSUED', isLogged: false },
  'no-space': { code: 'OVERQUOTA', isLogged: true },
  corrupt: { code: 'CORRUPTION', isLogged: true },
  'has-children': { code: 'HASCHILDREN', isLogged: false },
  cannot: { code: 'CANNOT', isLogged: false },
  unavailable: { code: 'UNAVAILABLE', isLogged: true },
};

describe('storage errors on the wire', () => {
  for (const [code, row] of Object.entries(expected) as [StorageCode, (typeof expected)[StorageCode]][]) {
    it(`${code} becomes NO [${row.code}]${row.isLogged ? ' and a log line' : ''}`, () => {
      const error = new StorageError(code, '/secret/path failed');
      const reply = replyToStorageError(error);
      assert.equal(reply.kind, 'no');
      assert.equal(reply.code, row.code);
      assert.doesNotMatch(reply.text, /secret/);
      assert.equal(shouldLog(error), row.isLogged);
    });
  }

  it('a missing target proposes to create it', () => {
    assert.equal(replyToStorageError(new StorageError('not-found', 'x'), true).code, 'TRYCREATE');
    assert.equal(replyToStorageError(new StorageError('over-quota', 'x'), true).code, 'OVERQUOTA');
  });

  it('the text made for clients is preferred', () => {
    const error = new StorageError('not-found', '/path', { clientText: "Mailbox doesn't exist: x" });
    assert.equal(replyToStorageError(error).text, "Mailbox doesn't exist: x");
  });

  it('our own failures point to the log by their time', () => {
    const reply = internalError(new Date(2026, 0, 2, 3, 4, 5));
    assert.equal(reply.code, 'SERVERBUG');
    assert.match(reply.text, /\[2026-01-02 03:04:05\]$/);
  });
});
