import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeStore } from '../../storage/support/store-world.js';
import { mailConfig } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';

const quotaConfig = `${mailConfig}plugin {\n  quota = count:User quota\n  quota_rule = *:storage=10K:messages=5\n}\n`;

describe('IMAP QUOTA', () => {
  it('shows usage and limits, and refuses what goes beyond them', async (test) => {
    const store = makeStore(test, quotaConfig);
    await using world = await createImapWorld({ openUser: () => store.open() });
    const { client } = await world.connect();
    const append = (octets: number): string => `APPEND INBOX {${octets}+}\r\n${'x'.repeat(octets)}`;
    await client.ok(append(3000));
    await client.ok(append(2000));
    assert.deepEqual(await client.ok('GETQUOTAROOT INBOX'), [
      '* QUOTAROOT INBOX "User quota"',
      '* QUOTA "User quota" (STORAGE 5 10 MESSAGE 2 5)',
    ]);
    assert.deepEqual(await client.ok('GETQUOTA "User quota"'), ['* QUOTA "User quota" (STORAGE 5 10 MESSAGE 2 5)']);
    assert.match((await client.run('GETQUOTA "Other"')).join(), /^NO \[NONEXISTENT\]/);
    assert.match((await client.run(append(6000))).join(), /^NO \[OVERQUOTA\]/);
    assert.deepEqual(await client.ok('GETQUOTA "User quota"'), ['* QUOTA "User quota" (STORAGE 5 10 MESSAGE 2 5)']);
  });

  it('is seen by another session at once', async (test) => {
    const store = makeStore(test, quotaConfig);
    await using world = await createImapWorld({ openUser: () => store.open() });
    const one = (await world.connect()).client;
    const two = (await world.connect()).client;
    await one.ok(`APPEND INBOX {1000+}\r\n${'x'.repeat(1000)}`);
    assert.deepEqual(await two.ok('GETQUOTA "User quota"'), ['* QUOTA "User quota" (STORAGE 1 10 MESSAGE 1 5)']);
  });
});
