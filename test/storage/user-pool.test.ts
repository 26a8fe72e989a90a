import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UserdbUser, UserOpener } from '#storage/open-user.js';
import type { MailUser } from '#storage/user.js';
import { UserPool } from '#storage/user-pool.js';

const never = new AbortController().signal;
const anna: UserdbUser = { user: 'anna', fields: { home: '/home/anna' } };

/** Opens users that only say that they were closed. */
function fakeOpener(fails: (count: number) => boolean = () => false): UserOpener & { opened: number; closed: number } {
  const opener = {
    opened: 0,
    closed: 0,
    async openUser(user: UserdbUser, _service: string, signal: AbortSignal): Promise<MailUser> {
      opener.opened += 1;
      const isBroken = fails(opener.opened);
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      if (isBroken) throw new Error('broken');
      return {
        name: user.user,
        [Symbol.asyncDispose]: async () => {
          opener.closed += 1;
        },
      } as unknown as MailUser;
    },
  };
  return opener;
}

describe('Sessions of one user', () => {
  it('share one open account, which is closed with the last of them', async () => {
    const opener = fakeOpener();
    const pool = new UserPool(opener, 'imap');
    const [one, two] = await Promise.all([pool.lease(anna, never), pool.lease({ ...anna }, never)]);
    assert.equal(one.user, two.user);
    await one[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    assert.deepEqual([opener.opened, opener.closed], [1, 0]);
    await two[Symbol.asyncDispose]();
    assert.equal(opener.closed, 1);
    const three = await pool.lease(anna, never);
    assert.notEqual(three.user, two.user);
  });

  it('have accounts of their own when auth says something else about them', async () => {
    const pool = new UserPool(fakeOpener(), 'imap');
    const one = await pool.lease(anna, never);
    const two = await pool.lease({ user: 'anna', fields: { home: '/other' } }, never);
    assert.notEqual(one.user, two.user);
  });

  it('are not held up by one that gives up while the account is being opened', async () => {
    const opener = fakeOpener();
    const pool = new UserPool(opener, 'imap');
    const hasty = new AbortController();
    const first = pool.lease(anna, hasty.signal);
    const second = pool.lease(anna, never);
    hasty.abort();
    await assert.rejects(first);
    await (await second)[Symbol.asyncDispose]();
    assert.deepEqual([opener.opened, opener.closed], [2, 1]);
  });

  it('each hear that the account cannot be opened, and the next one tries again', async () => {
    const opener = fakeOpener((count) => count <= 2);
    const pool = new UserPool(opener, 'imap');
    const results = await Promise.allSettled([pool.lease(anna, never), pool.lease(anna, never)]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    await pool.lease(anna, never);
  });
});
