import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryAccount } from '#storage/memory/account.js';
import { makeStore } from '../../storage/support/store-world.js';
import { mailConfig } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';

const message = 'Subject: one\r\n\r\nbody\r\n';

async function world(settings = {}) {
  const open = createMemoryAccount({ name: 'anna' });
  const made = await createImapWorld({ settings: { imap_urlauth_host: 'mail.test', ...settings }, openUser: async () => open() });
  const { client } = await made.connect();
  await client.ok(`APPEND INBOX {${message.length}+}\r\n${message}`);
  return { made, client };
}

const rump = (rest: string): string => `imap://anna@mail.test/INBOX/;UID=1/;SECTION=TEXT${rest}`;

describe('IMAP URLAUTH', () => {
  it('makes URLs that another session can fetch, until the key is reset', async () => {
    const { made, client } = await world();
    await using _made = made;
    const { client: other } = await made.connect();
    const [line = ''] = await client.ok(`GENURLAUTH "${rump(';URLAUTH=authuser')}" INTERNAL`);
    const url = /^\* GENURLAUTH "?([^"]+)"?$/.exec(line)?.[1] ?? '';
    assert.match(url, /;URLAUTH=authuser:INTERNAL:01[0-9a-f]{40}$/);
    assert.deepEqual(await other.ok(`URLFETCH "${url}"`), [`* URLFETCH ${url} {6}\r\nbody\r\n`]);
    assert.match((await other.run('RESETKEY INBOX INTERNAL')).join(), /^OK \[URLMECH INTERNAL\]/);
    assert.deepEqual(await client.ok(`URLFETCH "${url}"`), [`* URLFETCH ${url} NIL`]);
  });

  it('makes the key of a mailbox once, however many ask for the first URL at the same time', async (test) => {
    const store = makeStore(test, mailConfig);
    for (const openUser of [createMemoryAccount({ name: 'anna' }), () => store.open({}, { user: 'anna' })]) {
      await using made = await createImapWorld({ settings: { imap_urlauth_host: 'mail.test' }, openUser: async () => openUser() });
      const clients = await Promise.all(Array.from({ length: 6 }, async () => (await made.connect()).client));
      await clients[0]?.ok(`APPEND INBOX {${message.length}+}\r\n${message}`);
      const replies = await Promise.all(clients.map((client) => client.ok(`GENURLAUTH "${rump(';URLAUTH=authuser')}" INTERNAL`)));
      const urls = replies.map(([line = '']) => line.slice('* GENURLAUTH '.length).replaceAll('"', ''));
      assert.equal(new Set(urls).size, 1, urls.join('\n'));
      for (const client of clients) assert.match((await client.ok(`URLFETCH "${urls[0]}"`)).join(), /body/);
    }
  });

  it('fetches nothing for a changed URL, a wrong token, an expired one, or one for somebody else', async () => {
    const { made, client } = await world();
    await using _made = made;
    const make = async (access: string): Promise<string> => {
      const [line = ''] = await client.ok(`GENURLAUTH "${rump(access)}" INTERNAL`);
      return line.slice('* GENURLAUTH '.length).replaceAll('"', '');
    };
    const good = await make(';URLAUTH=user+anna');
    assert.match((await client.ok(`URLFETCH "${good}"`)).join(), /body/);
    const bad = [
      good.replace('SECTION=TEXT', 'SECTION=HEADER'),
      good.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
      good.replace('user+anna', 'anonymous'),
      await make(';EXPIRE=2001-01-01T00:00:00Z;URLAUTH=authuser'),
      await make(';URLAUTH=user+bob'),
      await make(';URLAUTH=submit+anna'),
      rump(';URLAUTH=authuser'),
      good.replace('mail.test', 'other.test'),
      good.replace('UID=1', 'UID=2'),
    ];
    for (const url of bad) assert.match((await client.ok(`URLFETCH "${url}"`)).join(), / NIL$/, url);
  });

  it('refuses URLs of other accounts, servers and kinds', async () => {
    const { made, client } = await world();
    await using _made = made;
    for (const url of [
      rump(''),
      rump(';URLAUTH=authuser').replace('anna@', 'bob@'),
      rump(';URLAUTH=authuser').replace('mail.test', 'other.test'),
      rump(';URLAUTH=authuser').replace('/INBOX', ''),
      rump(';URLAUTH=everybody'),
      '/INBOX/;UID=1;URLAUTH=authuser',
    ])
      assert.match((await client.run(`GENURLAUTH "${url}" INTERNAL`)).join(), /^BAD \[BADURL/, url);
    assert.match((await client.run(`GENURLAUTH "${rump(';URLAUTH=authuser')}" OTHER`)).join(), /^BAD/);
    assert.match((await client.ok('CAPABILITY')).join(), / URLAUTH\b/);
  });

  it('resets all keys at once', async () => {
    const { made, client } = await world();
    await using _made = made;
    const [line = ''] = await client.ok(`GENURLAUTH "${rump(';URLAUTH=authuser')}" INTERNAL`);
    await client.ok('RESETKEY');
    const url = line.slice('* GENURLAUTH '.length).replaceAll('"', '');
    assert.match((await client.ok(`URLFETCH "${url}"`)).join(), / NIL$/);
  });

  it('is off without a host name', async () => {
    const { made, client } = await world({ imap_urlauth_host: '' });
    await using _made = made;
    assert.match((await client.run('RESETKEY')).join(), /^BAD/);
    assert.doesNotMatch((await client.ok('CAPABILITY')).join(), / URLAUTH\b/);
  });
});
