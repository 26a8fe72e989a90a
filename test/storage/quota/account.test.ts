// Quota of accounts on disk, through configuration text.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { createMailStore } from '#storage/mail-store.js';
import type { MailUser } from '#storage/user.js';
import { addMessage, append, expunge, never, openView, rejectsWith, sync } from '../../contract/world.js';
import { makeStore, settingsFrom } from '../support/store-world.js';

const body = (bytes: number): Buffer => Buffer.alloc(bytes, 'x');
const config = (...lines: string[]): string => `mail_location = maildir:~/Maildir\nplugin {\n${lines.join('\n')}\n}\n`;
const inbox = (user: MailUser): ReturnType<MailUser['openMailbox']> => user.openMailbox('INBOX', never);

for (const backend of ['maildir', 'count']) {
  describe(`quota = ${backend}`, () => {
    const limited = config(
      `quota = ${backend}:User quota`,
      'quota_rule = *:bytes=1000',
      'quota_rule2 = Trash:bytes=+10%%',
      'quota_rule3 = Spam:ignore',
    );

    it('stops APPEND at the limit, and gives room back after an expunge', async (test) => {
      const { open } = makeStore(test, limited);
      await using user = await open();
      const mailbox = await inbox(user);
      await append(mailbox, body(600));
      await append(mailbox, body(400));
      await assert.rejects(append(mailbox, body(1)), { code: 'over-quota', clientText: 'Quota exceeded (mailbox for user is full)' });
      await using view = await openView(mailbox);
      await expunge(view, [1]);
      await sync(view);
      await append(mailbox, body(600));
      await rejectsWith(append(mailbox, body(1)), 'over-quota');
    });

    it('sees near the limit what another process has just saved', async (test) => {
      const { open, folder } = makeStore(test, limited);
      const peer = createMailStore({ settings: settingsFrom(folder, limited), log: silentLogger });
      test.after(() => peer.close());
      await using user = await open();
      await append(await inbox(user), body(300));
      await using other = await peer.openUser({ user: 'bob', fields: { home: join(folder, 'home', 'bob') } }, 'imap', never);
      await append(await inbox(other), body(600));
      await rejectsWith(append(await inbox(user), body(200)), 'over-quota');
      await append(await inbox(user), body(100));
      await rejectsWith(append(await inbox(other), body(1)), 'over-quota');
    });

    it('gives the last room to one of two processes that save at the same moment', async (test) => {
      const { open, folder } = makeStore(test, limited);
      const peer = createMailStore({ settings: settingsFrom(folder, limited), log: silentLogger });
      test.after(() => peer.close());
      await using user = await open();
      await append(await inbox(user), body(300));
      await using other = await peer.openUser({ user: 'bob', fields: { home: join(folder, 'home', 'bob') } }, 'imap', never);
      // Both have been promised the room before either has saved.
      await using one = (await inbox(user)).beginAppend('append');
      await addMessage(one, body(400));
      await using two = (await inbox(other)).beginAppend('append');
      await addMessage(two, body(400));
      await one.commit(never);
      await rejectsWith(two.commit(never), 'over-quota');
      await append(await inbox(other), body(300));
      // Who has saved waits until it is counted; for the others the answer to APPEND may come a moment before.
      for (const each of [other, user]) assert.equal((await each.quotaRoots('INBOX', never))[0]?.usage.storageBytes, 1000);
    });

    it('is not passed by many saves of two processes', async (test) => {
      const { open, folder } = makeStore(test, limited);
      const peer = createMailStore({ settings: settingsFrom(folder, limited), log: silentLogger });
      test.after(() => peer.close());
      await using user = await open();
      await using other = await peer.openUser({ user: 'bob', fields: { home: join(folder, 'home', 'bob') } }, 'imap', never);
      const mailboxes = [await inbox(user), await inbox(other)] as const;
      // What one process counts is written to a file with its pid in the name, and the two here have the same.
      await append(mailboxes[0], body(130));
      const saves = Array.from({ length: 20 }, (_, index) => append(mailboxes[index % 2 === 0 ? 0 : 1], body(130)));
      const outcomes = await Promise.allSettled(saves);
      for (const outcome of outcomes) if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'over-quota');
      // None may be left out for good: room that was promised in vain is given back.
      for (const mailbox of mailboxes) await append(mailbox, body(130)).catch(() => undefined);
      const used = (await user.quotaRoots('INBOX', never))[0]?.usage.storageBytes ?? 0;
      assert.equal(used, 910);
    });

    it('shows usage and limits', async (test) => {
      const { open } = makeStore(test, limited);
      await using user = await open();
      await append(await inbox(user), body(300));
      await user.create('Trash', { specialUse: [] }, never);
      await append(await user.openMailbox('Trash', never), body(100));
      assert.deepEqual(await user.quotaRoots('INBOX', never), [
        {
          name: 'User quota',
          usage: { storageBytes: 400, messages: 2, mailboxes: 2 },
          limits: { storageBytes: 1000, messages: undefined, mailboxes: undefined },
        },
      ]);
      assert.equal((await user.quotaRoots('Trash', never))[0]?.limits.storageBytes, 1100);
    });

    it('lets some mailboxes hold more, and does not count others', async (test) => {
      const { open } = makeStore(test, limited);
      await using user = await open();
      for (const name of ['Trash', 'Spam']) await user.create(name, { specialUse: [] }, never);
      const trash = await user.openMailbox('Trash', never);
      const spam = await user.openMailbox('Spam', never);
      await append(await inbox(user), body(1000));
      await append(trash, body(100));
      await rejectsWith(append(trash, body(1)), 'over-quota');
      await append(spam, body(5000));
      assert.deepEqual(await user.quotaRoots('Spam', never), []);
      assert.equal((await user.quotaRoots('INBOX', never))[0]?.usage.storageBytes, 1100);
    });

    it('stops COPY, but not MOVE inside the account', async (test) => {
      const { open } = makeStore(test, limited);
      await using user = await open();
      await user.create('a', { specialUse: [] }, never);
      const mailbox = await inbox(user);
      const target = await user.openMailbox('a', never);
      await append(mailbox, body(600));
      await using view = await openView(mailbox);
      await rejectsWith(view.copy([1], target, never), 'over-quota');
      await view.move([1], target, never);
      await sync(view);
      assert.equal((await user.quotaRoots('INBOX', never))[0]?.usage.storageBytes, 600);
    });

    it('counts messages', async (test) => {
      const { open } = makeStore(test, config(`quota = ${backend}:Q`, 'quota_rule = *:messages=2'));
      await using user = await open();
      const mailbox = await inbox(user);
      await append(mailbox, body(1));
      await using transaction = mailbox.beginAppend('append');
      await addMessage(transaction, body(1));
      await rejectsWith(addMessage(transaction, body(1)), 'over-quota');
      assert.equal((await mailbox.status({ size: false }, never)).messages, 1);
    });

    it('takes the user’s own rule before the shared one', async (test) => {
      const { open } = makeStore(test, limited);
      await using user = await open({ quota_rule: '*:bytes=5000' });
      await append(await inbox(user), body(4000));
      assert.equal((await user.quotaRoots('INBOX', never))[0]?.limits.storageBytes, 5000);
    });

    it('gives the same room to one of many parallel saves, in one session or several', async (test) => {
      const { open } = makeStore(test, limited);
      await using one = await open();
      await using two = await open();
      const mailboxes = [await inbox(one), await inbox(two)] as const;
      const saves = Array.from({ length: 12 }, (_, index) => append(mailboxes[index % 2 === 0 ? 0 : 1], body(300)));
      const outcomes = await Promise.allSettled(saves);
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 3);
      for (const outcome of outcomes) if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'over-quota');
      assert.equal((await one.quotaRoots('INBOX', never))[0]?.usage.storageBytes, 900);
      await append(mailboxes[0], body(100));
    });

    it('holds room for a save under way, and gives it back when the save is given up or fails', async (test) => {
      const { open } = makeStore(test, limited);
      await using one = await open();
      await using two = await open();
      const mailbox = await inbox(one);
      const options = { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: 600 };
      const slow = mailbox.beginAppend('append');
      await slow.add(options, never);
      await append(await inbox(two), body(400));
      await rejectsWith(append(await inbox(two), body(1)), 'over-quota');
      // Waits for a moment: the other save may come to nothing.
      const waiting = append(await inbox(two), body(500));
      await slow.abort();
      await waiting;
      const failing = mailbox.beginAppend('append');
      const writer = await failing.add({ ...options, expectedBytes: 100 }, never);
      await writer.write(body(101));
      await rejectsWith(writer.end(), 'over-quota');
      await append(mailbox, body(100));
      await slow.abort();
      await rejectsWith(append(mailbox, body(1)), 'over-quota');
    });

    it('holds room for parallel copies', async (test) => {
      const { open } = makeStore(test, limited);
      await using user = await open();
      await user.create('a', { specialUse: [] }, never);
      const target = await user.openMailbox('a', never);
      const mailbox = await inbox(user);
      await append(mailbox, body(300));
      await using view = await openView(mailbox);
      const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => view.copy([1], target, never)));
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 2);
      assert.equal((await user.quotaRoots('INBOX', never))[0]?.usage.storageBytes, 900);
    });

    it('asks for the difference alone when a message replaces another one that it counts', async (test) => {
      const { open } = makeStore(test, limited);
      await using user = await open();
      for (const name of ['Spam', 'Drafts']) await user.create(name, { specialUse: [] }, never);
      const mailbox = await inbox(user);
      await append(mailbox, body(900));
      const drafts = await user.openMailbox('Drafts', never);
      await rejectsWith(addMessage(drafts.beginAppend('append'), body(200)), 'over-quota');
      const uncounted = { mailbox: await user.openMailbox('Spam', never), octets: 900 };
      await rejectsWith(addMessage(drafts.beginAppend('append', uncounted), body(200)), 'over-quota');
      await rejectsWith(addMessage(drafts.beginAppend('append', { mailbox, octets: 900 }), body(1001)), 'over-quota');
      await using transaction = drafts.beginAppend('append', { mailbox, octets: 900 });
      await addMessage(transaction, body(1000));
      await transaction.commit(never);
    });

    it('sees what another session and another program did', async (test) => {
      const { open } = makeStore(test, limited);
      await using one = await open();
      await using two = await open();
      await append(await inbox(one), body(600));
      await rejectsWith(append(await inbox(two), body(500)), 'over-quota');
      await append(await inbox(two), body(400));
      await rejectsWith(append(await inbox(one), body(1)), 'over-quota');
    });
  });
}

describe('quota', () => {
  it('lets parallel CREATEs of several sessions and processes make as many mailboxes as there may be', async (test) => {
    const limited = config('quota = count:Q', 'quota_rule = *:mailboxes=4');
    const { open, folder } = makeStore(test, limited);
    const peer = createMailStore({ settings: settingsFrom(folder, limited), log: silentLogger });
    test.after(() => peer.close());
    await using one = await open();
    await using two = await open();
    await using other = await peer.openUser({ user: 'bob', fields: { home: join(folder, 'home', 'bob') } }, 'imap', never);
    await append(await inbox(one), body(1));
    const users = [one, two, other] as const;
    const makes = Array.from({ length: 12 }, (_, index) => (users[index % 3] ?? one).create(`box${index}`, { specialUse: [] }, never));
    const outcomes = await Promise.allSettled(makes);
    for (const outcome of outcomes) if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'over-quota');
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 3);
    assert.equal((await one.quotaRoots('INBOX', never))[0]?.usage.mailboxes, 4);
    assert.equal(existsSync(join(folder, 'home/bob/Maildir/roost-quota.lock')), false);
  });

  it('lets a delivery use the grace', async (test) => {
    const { open } = makeStore(test, config('quota = maildir:Q', 'quota_rule = *:bytes=1000', 'quota_grace = 20%%'));
    await using user = await open({}, { service: 'lmtp' });
    const mailbox = await inbox(user);
    await using first = mailbox.beginAppend('deliver');
    await addMessage(first, body(1200));
    await first.commit(never);
    await using second = mailbox.beginAppend('deliver');
    await rejectsWith(addMessage(second, body(1)), 'over-quota');
    await using session = await open();
    await rejectsWith(append(await inbox(session), body(1)), 'over-quota');
  });

  it('limits the size of one message', async (test) => {
    const { open } = makeStore(test, config('quota = count:Q', 'quota_max_mail_size = 100'));
    await using user = await open();
    const mailbox = await inbox(user);
    await append(mailbox, body(100));
    await rejectsWith(append(mailbox, body(101)), 'too-big');
    await using transaction = mailbox.beginAppend('append');
    await addMessage(transaction, body(100));
    await rejectsWith(addMessage(transaction, body(101)), 'too-big');
  });

  it('says what the administrator wants it to', async (test) => {
    const { open } = makeStore(test, config('quota = count:Q', 'quota_rule = *:bytes=1', 'quota_exceeded_message = Call 123, %u'));
    await using user = await open();
    await assert.rejects(append(await inbox(user), body(2)), { clientText: 'Call 123, bob' });
  });

  it('only counts where it is not enforced', async (test) => {
    const { open } = makeStore(test, config('quota = maildir:Q:noenforcing', 'quota_rule = *:bytes=1'));
    await using user = await open();
    await append(await inbox(user), body(50));
    assert.equal((await user.quotaRoots('INBOX', never))[0]?.usage.storageBytes, 50);
  });

  it('is not there for users without a limit where it says ignoreunlimited', async (test) => {
    for (const [rule, expected] of [
      ['quota_rule = *:bytes=1000', ['Q']],
      ['quota_rule = *:bytes=0', []],
    ] as const) {
      const { open } = makeStore(test, config('quota = count:Q:ignoreunlimited', rule));
      await using user = await open();
      assert.deepEqual(
        (await user.quotaRoots('INBOX', never)).map(({ name }) => name),
        expected,
      );
    }
  });

  it('is nothing without settings', async (test) => {
    const { open } = makeStore(test);
    await using user = await open();
    await append(await inbox(user), body(50));
    assert.deepEqual(await user.quotaRoots('INBOX', never), []);
  });

  it('leaves a maildirsize that Dovecot can go on with', async (test) => {
    const { folder, open } = makeStore(test, config('quota = maildir:Q', 'quota_rule = *:bytes=1000:messages=10'));
    {
      await using user = await open();
      await append(await inbox(user), body(300));
      await append(await inbox(user), body(200));
    }
    const path = join(folder, 'home/bob/Maildir/maildirsize');
    assert.match(readFileSync(path, 'latin1'), /^1000S,10C\n0 0\n300 1\n200 1\n$/);
    writeFileSync(path, '1000S,10C\n950 3\n');
    await using user = await open();
    await rejectsWith(append(await inbox(user), body(100)), 'over-quota');
    unlinkSync(path);
    await append(await inbox(user), body(100));
  });

  it('runs a command when a threshold is crossed', async (test) => {
    const { folder, open } = makeStore(
      test,
      config(
        'quota = maildir:Q',
        'quota_rule = *:bytes=1000',
        'quota_warning = bytes=90%% FOLDER/warn.sh 90 %u',
        'quota_warning2 = bytes=50%% FOLDER/warn.sh 50 %u',
      ),
    );
    const script = join(folder, 'warn.sh');
    writeFileSync(script, `#!/bin/sh\necho "$@" $USER $HOME >> ${folder}/warned\n`);
    chmodSync(script, 0o755);
    {
      await using user = await open();
      const mailbox = await inbox(user);
      await append(mailbox, body(400));
      await append(mailbox, body(200));
      await append(mailbox, body(100));
      await append(mailbox, body(250));
    }
    assert.equal(readFileSync(join(folder, 'warned'), 'utf8'), `50 bob bob ${folder}/home/bob\n90 bob bob ${folder}/home/bob\n`);
  });

  it('logs a warning command that can not be run, and goes on', async (test) => {
    const { folder, open } = makeStore(
      test,
      config('quota = maildir:Q', 'quota_rule = *:bytes=1000', 'quota_warning = bytes=1%% FOLDER/none.sh x'),
    );
    {
      await using user = await open();
      await append(await inbox(user), body(400));
    }
    assert.ok(!existsSync(join(folder, 'warned')));
  });
});
