import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
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

  describe('OVERQUOTA', () => {
    const literal = (octets: number): string => `{${octets}+}\r\n${'x'.repeat(octets)}`;
    const usage = '* QUOTA "User quota" (STORAGE 9 10 MESSAGE 2 5)';
    const full = async (test: TestContext) => {
      const store = makeStore(test, quotaConfig);
      const world = await createImapWorld({ openUser: () => store.open() });
      const { client } = await world.connect();
      await client.ok('CREATE Archive');
      for (const octets of [3000, 6000]) await client.ok(`APPEND INBOX ${literal(octets)}`);
      await client.ok('SELECT INBOX');
      return { world, client };
    };

    for (const [name, command, code] of [
      ['COPY', 'COPY 1 Archive', 'OVERQUOTA'],
      ['UID COPY', 'UID COPY 1:2 Archive', 'OVERQUOTA'],
      ['MULTIAPPEND, for the messages together', `APPEND INBOX ${literal(600)} ${literal(700)}`, 'OVERQUOTA'],
      ['CATENATE of text', `APPEND INBOX CATENATE (TEXT ${literal(700)} TEXT ${literal(700)})`, 'OVERQUOTA'],
      ['CATENATE of URLs', 'APPEND Archive CATENATE (URL "/INBOX/;UID=1")', 'OVERQUOTA'],
      ['REPLACE by more than there is room for', `REPLACE 1 INBOX ${literal(5000)}`, 'OVERQUOTA'],
    ] as const) {
      it(`is the answer to ${name}, and nothing changes`, async (test) => {
        const { world, client } = await full(test);
        await using _world = world;
        assert.match((await client.run(command)).join(), new RegExp(`NO \\[${code}\\]`));
        assert.deepEqual(await client.ok('GETQUOTA "User quota"'), [usage]);
        assert.match((await client.ok('STATUS INBOX (MESSAGES)')).join(), /MESSAGES 2\b/);
        assert.match((await client.ok('STATUS Archive (MESSAGES)')).join(), /MESSAGES 0\b/);
      });
    }

    it('is not the answer to MOVE, nor to REPLACE with what fits in place of the old message', async (test) => {
      const { world, client } = await full(test);
      await using _world = world;
      await client.ok('MOVE 1 Archive');
      await client.ok(`REPLACE 1 Archive ${literal(7000)}`);
      assert.deepEqual(await client.ok('GETQUOTA "User quota"'), ['* QUOTA "User quota" (STORAGE 10 10 MESSAGE 2 5)']);
      assert.match((await client.ok('STATUS INBOX (MESSAGES)')).join(), /MESSAGES 0\b/);
    });

    it('is not the answer to REPLACE in an account that holds as many messages as it may', async (test) => {
      const store = makeStore(test, quotaConfig);
      await using world = await createImapWorld({ openUser: () => store.open() });
      const { client } = await world.connect();
      for (let count = 1; count <= 5; count += 1) await client.ok(`APPEND INBOX ${literal(10)}`);
      await client.ok('SELECT INBOX');
      assert.match((await client.run(`APPEND INBOX ${literal(10)}`)).join(), /^NO \[OVERQUOTA\]/);
      await client.ok(`UID REPLACE 2 INBOX CATENATE (TEXT ${literal(20)})`);
      assert.match((await client.ok('STATUS INBOX (MESSAGES)')).join(), /MESSAGES 5\b/);
    });
  });
});
