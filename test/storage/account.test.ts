// Names and lists, which are the same whatever the format.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryAccount, type MemoryAccountOptions } from '#storage/memory/account.js';
import type { MailboxListEntry, MailUser } from '#storage/user.js';
import { append, never, rejectsWith } from '../contract/world.js';

async function makeUser(options: MemoryAccountOptions = {}, mailboxes: readonly string[] = []): Promise<MailUser> {
  const user = createMemoryAccount(options)();
  for (const name of mailboxes) await user.create(name, { specialUse: [] }, never);
  return user;
}

const list = (user: MailUser, pattern = '*', subscribedOnly = false): Promise<readonly MailboxListEntry[]> =>
  user.list([pattern], { subscribedOnly }, never);
const names = async (user: MailUser, pattern = '*', subscribedOnly = false): Promise<string[]> =>
  (await list(user, pattern, subscribedOnly)).map(({ name }) => name);
const entry = async (user: MailUser, name: string): Promise<MailboxListEntry> => {
  const [found] = await list(user, name);
  assert.ok(found !== undefined, `${name} is listed`);
  return found;
};

describe('list', () => {
  it('shows INBOX first, parents before children, siblings in order', async () => {
    await using user = await makeUser({}, ['b', 'a/z', 'a-b', 'a/b/c', 'a']);
    assert.deepEqual(await names(user), ['INBOX', 'a', 'a/b', 'a/b/c', 'a/z', 'a-b', 'b']);
    assert.deepEqual(await names(user, '%'), ['INBOX', 'a', 'a-b', 'b']);
    assert.deepEqual(await names(user, 'a/%'), ['a/b', 'a/z']);
    assert.deepEqual(await names(user, 'inbox'), ['INBOX']);
    assert.deepEqual(
      (await user.list(['b', 'a-b', 'nothing'], { subscribedOnly: false }, never)).map(({ name }) => name),
      ['a-b', 'b'],
    );
  });

  it('shows parents that do not exist as not selectable', async () => {
    await using user = await makeUser({}, ['a/b']);
    assert.deepEqual(await entry(user, 'a'), {
      name: 'a',
      separator: '/',
      exists: false,
      isSelectable: false,
      hasChildren: true,
      isSubscribed: false,
      hasSubscribedChildren: false,
      specialUse: [],
      isMarked: undefined,
    });
    assert.equal((await entry(user, 'a/b')).hasChildren, false);
  });

  it('shows subscriptions, also to what is gone', async () => {
    await using user = await makeUser({}, ['a', 'a/b', 'c']);
    await user.subscribe('a/b', true, never);
    await user.subscribe('c', true, never);
    await user.delete('a/b', never);
    assert.deepEqual(await names(user, '*', true), ['a', 'a/b', 'c']);
    assert.deepEqual(await names(user), ['INBOX', 'a', 'c'], 'others do not see it');
    const [parent, gone] = await list(user, 'a*', true);
    assert.deepEqual([parent?.isSubscribed, parent?.hasSubscribedChildren, parent?.exists], [false, true, true]);
    assert.deepEqual([gone?.isSubscribed, gone?.exists, gone?.isSelectable], [true, false, false]);
    await user.subscribe('a/b', false, never);
    assert.deepEqual(await names(user, '*', true), ['c']);
  });

  it('shows auto-created mailboxes before they exist, with their special use', async () => {
    const rule = { auto: 'no', specialUse: [], autoexpungeMs: 0, autoexpungeMaxMails: 0 } as const;
    await using user = await makeUser({
      configured: [
        { ...rule, levels: ['Sent'], auto: 'subscribe', specialUse: ['\\Sent'] },
        { ...rule, levels: ['Trash'], specialUse: ['\\Trash'] },
        { ...rule, levels: ['Archive', '*'], specialUse: ['\\Archive'] },
      ],
    });
    assert.deepEqual(await names(user), ['INBOX', 'Sent']);
    assert.deepEqual(await names(user, '*', true), ['Sent']);
    assert.deepEqual((await entry(user, 'Sent')).specialUse, ['\\Sent']);
    const mailbox = await user.openMailbox('Sent', never);
    assert.equal(mailbox.name, 'Sent');
    await user.create('Trash', { specialUse: [] }, never);
    assert.deepEqual((await entry(user, 'Trash')).specialUse, ['\\Trash']);
    await user.create('Archive/2025', { specialUse: [] }, never);
    assert.deepEqual((await entry(user, 'Archive/2025')).specialUse, ['\\Archive']);
  });

  it('remembers special uses given at creation, through renames', async () => {
    await using user = await makeUser();
    await user.create('Bin', { specialUse: ['\\Trash'] }, never);
    await user.rename('Bin', 'Waste', never);
    assert.deepEqual((await entry(user, 'Waste')).specialUse, ['\\Trash']);
    await user.delete('Waste', never);
    await user.create('Waste', { specialUse: [] }, never);
    assert.deepEqual((await entry(user, 'Waste')).specialUse, []);
  });
});

describe('namespaces', () => {
  const prefixed: MemoryAccountOptions = {
    namespaces: [
      { prefix: 'INBOX/' },
      { prefix: '#shared/', type: 'shared', list: 'children', subscriptions: false },
      { prefix: 'Old/', list: 'no', isHidden: true },
    ],
  };

  it('put names below their prefix', async () => {
    await using user = await makeUser(prefixed, ['INBOX/a', '#shared/b', 'Old/c']);
    assert.deepEqual(await names(user), ['INBOX', 'INBOX/a', '#shared', '#shared/b']);
    assert.deepEqual(await names(user, 'Old/*'), ['Old/c']);
    assert.deepEqual(await names(user, 'inbox/%'), ['INBOX/a']);
    assert.equal((await entry(user, 'INBOX')).hasChildren, true);
    assert.deepEqual([(await entry(user, '#shared')).isSelectable, (await entry(user, '#shared')).exists], [false, true]);
  });

  it('are hidden when empty and list = children', async () => {
    await using user = await makeUser(prefixed);
    assert.deepEqual(await names(user), ['INBOX']);
  });

  it('refuse names outside of all of them', async () => {
    await using user = await makeUser(prefixed);
    await assert.rejects(user.create('loose', { specialUse: [] }, never), {
      code: 'not-found',
      clientText: 'Client tried to access nonexistent namespace. (Mailbox name should probably be prefixed with: INBOX/)',
    });
  });

  it('keep subscriptions of a namespace without its own in the one around it', async () => {
    await using user = await makeUser({ namespaces: [{}, { prefix: 'Shared/', subscriptions: false }] }, ['a', 'Shared/b']);
    await user.subscribe('Shared/b', true, never);
    assert.deepEqual(await names(user, '*', true), ['Shared', 'Shared/b']);
    await user.subscribe('Shared/b', false, never);
    assert.deepEqual(await names(user, '*', true), []);
  });

  it('are no mailboxes themselves', async () => {
    await using user = await makeUser(prefixed, ['#shared/b']);
    await rejectsWith(user.openMailbox('#shared', never), 'not-selectable');
    await rejectsWith(user.create('#shared', { specialUse: [] }, never), 'exists');
  });
});

describe('mailbox names', () => {
  for (const [name, code, clientText] of [
    ['/a', 'invalid-name', 'Invalid mailbox name: Begins with hierarchy separator'],
    ['a//b', 'invalid-name', 'Invalid mailbox name: Has adjacent hierarchy separators'],
    ['a\0b', 'invalid-name', 'Invalid mailbox name: Not valid UTF-8'],
    ['a\ud800', 'invalid-name', 'Invalid mailbox name: Not valid UTF-8'],
    ['a\nb', 'invalid-name', 'Control characters not allowed in new mailbox names'],
    ['x'.repeat(256), 'invalid-name', 'Mailbox name too long'],
    [Array.from({ length: 20 }, () => 'x'.repeat(250)).join('/'), 'invalid-name', 'Mailbox name too long'],
    ['', 'invalid-name', 'Invalid mailbox name: Name is empty'],
    ['INBOX', 'exists', 'Mailbox already exists'],
    ['inbox', 'exists', 'Mailbox already exists'],
    ['there', 'exists', 'Mailbox already exists'],
  ] as const) {
    it(`${JSON.stringify(name.slice(0, 30))} can not be created: ${clientText}`, async () => {
      await using user = await makeUser({}, ['there']);
      await assert.rejects(user.create(name, { specialUse: [] }, never), { code, clientText });
    });
  }

  it('may end with a separator when they are created', async () => {
    await using user = await makeUser();
    await user.create('a/', { specialUse: [] }, never);
    assert.deepEqual(await names(user), ['INBOX', 'a']);
  });

  it('of the longest kind are allowed', async () => {
    await using user = await makeUser();
    await user.create('x'.repeat(255), { specialUse: [] }, never);
    assert.equal((await names(user)).length, 2);
  });

  it('are told when nothing is there', async () => {
    await using user = await makeUser({}, ['a/b']);
    await assert.rejects(user.openMailbox('nope', never), { code: 'not-found', clientText: "Mailbox doesn't exist: nope" });
    await assert.rejects(user.openMailbox('a', never), { code: 'not-selectable', clientText: "Mailbox isn't selectable: a" });
    await assert.rejects(user.subscribe('nope', true, never), { code: 'not-found' });
    await user.subscribe('nope', false, never);
  });
});

describe('delete', () => {
  it('refuses INBOX and parents that are no mailboxes', async () => {
    await using user = await makeUser({}, ['a/b']);
    await assert.rejects(user.delete('inbox', never), { code: 'cannot', clientText: "INBOX can't be deleted." });
    await assert.rejects(user.delete('a', never), { code: 'has-children' });
    await rejectsWith(user.delete('nope', never), 'not-found');
  });

  it('leaves what is below', async () => {
    await using user = await makeUser({}, ['a', 'a/b']);
    await user.delete('a', never);
    assert.deepEqual(await names(user), ['INBOX', 'a', 'a/b']);
    assert.equal((await entry(user, 'a')).isSelectable, false);
  });
});

describe('rename', () => {
  it('takes everything below along', async () => {
    await using user = await makeUser({}, ['a', 'a/b', 'a/b/c', 'ab']);
    await append(await user.openMailbox('a/b/c', never));
    await user.rename('a', 'x/y', never);
    assert.deepEqual(await names(user), ['INBOX', 'ab', 'x', 'x/y', 'x/y/b', 'x/y/b/c']);
    assert.equal((await (await user.openMailbox('x/y/b/c', never)).status({ size: false }, never)).messages, 1);
  });

  it('of a parent that is no mailbox moves its children', async () => {
    await using user = await makeUser({}, ['a/b']);
    await user.rename('a', 'z', never);
    assert.deepEqual(await names(user), ['INBOX', 'z', 'z/b']);
  });

  it('of INBOX moves its messages and leaves it empty (RFC 9051 6.3.6)', async () => {
    await using user = await makeUser({}, ['INBOX/child']);
    await append(await user.openMailbox('INBOX', never));
    await user.rename('INBOX', 'old', never);
    assert.deepEqual(await names(user), ['INBOX', 'INBOX/child', 'old']);
    assert.equal((await (await user.openMailbox('old', never)).status({ size: false }, never)).messages, 1);
    assert.equal((await (await user.openMailbox('INBOX', never)).status({ size: false }, never)).messages, 0);
  });

  it('refuses what can not be', async () => {
    await using user = await makeUser({ namespaces: [{}, { prefix: 'Other/' }] }, ['a', 'b', 'a/c']);
    await rejectsWith(user.rename('a', 'b', never), 'exists');
    await rejectsWith(user.rename('a', 'INBOX', never), 'exists');
    await rejectsWith(user.rename('a', 'a/d', never), 'cannot');
    await rejectsWith(user.rename('nope', 'c', never), 'not-found');
    await rejectsWith(user.rename('a', 'Other/a', never), 'cannot');
    await rejectsWith(user.rename('a', '/x', never), 'invalid-name');
    assert.deepEqual(await names(user), ['INBOX', 'a', 'a/c', 'b', 'Other']);
  });
});

describe('account watch', () => {
  it('names mailboxes that come, go and change', async () => {
    await using user = await makeUser({}, ['a']);
    const seen: string[] = [];
    let wake = (): void => undefined;
    const stop = user.watch((name) => {
      seen.push(name);
      wake();
    });
    const until = async (name: string): Promise<void> => {
      while (!seen.includes(name)) await new Promise<void>((resolve) => (wake = resolve));
      seen.length = 0;
    };
    await user.create('b', { specialUse: [] }, never);
    await until('b');
    // Contents are watched once the account has been looked through: change until it is told.
    const mailbox = await user.openMailbox('a', never);
    const timer = setInterval(() => void append(mailbox), 5);
    await until('a');
    clearInterval(timer);
    await user.delete('b', never);
    await until('b');
    stop();
    await append(mailbox);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      seen.filter((name) => name !== 'a'),
      [],
    );
  });
});
