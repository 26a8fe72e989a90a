// Accounts on disk: settings, layouts, what the files are called.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { flagBit } from '#storage/types.js';
import type { MailUser } from '#storage/user.js';
import { append, never, openView, rejectsWith } from '../contract/world.js';
import { makeStore } from './support/store-world.js';

const names = async (user: MailUser, pattern = '*', subscribedOnly = false): Promise<string[]> =>
  (await user.list([pattern], { subscribedOnly }, never)).map(({ name }) => name);
const create = (user: MailUser, name: string): Promise<unknown> => user.create(name, { specialUse: [] }, never);

/** A mailbox as another program makes it. */
function makeMaildir(path: string): void {
  for (const part of ['cur', 'new', 'tmp']) mkdirSync(join(path, part), { recursive: true });
}

describe('Maildir++ account', () => {
  it('keeps folders where Dovecot looks for them', async (test) => {
    const { folder, open } = makeStore(test);
    await using user = await open();
    const root = join(folder, 'home/bob/Maildir');
    await append(await user.openMailbox('INBOX', never));
    await create(user, 'Entwürfe.a & b');
    await user.subscribe('Entwürfe.a & b', true, never);
    for (const path of ['cur', 'new', 'tmp', 'dovecot-uidlist', '.Entw&APw-rfe.a &- b/cur', '.Entw&APw-rfe.a &- b/maildirfolder']) {
      assert.ok(existsSync(join(root, path)), path);
    }
    assert.equal(readFileSync(join(root, 'subscriptions'), 'utf8'), 'V\t2\n\nEntw&APw-rfe\ta &- b\n');
    assert.deepEqual(await names(user), ['INBOX', 'Entwürfe', 'Entwürfe.a & b']);
    await user.rename('Entwürfe', 'x', never);
    assert.ok(existsSync(join(root, '.x.a &- b/cur')));
    await user.delete('x.a & b', never);
    assert.ok(!existsSync(join(root, '.x.a &- b')));
  });

  it('shows folders that other programs make and remove', async (test) => {
    const { folder, open } = makeStore(test);
    await using user = await open();
    const root = join(folder, 'home/bob/Maildir');
    await user.openMailbox('INBOX', never);
    assert.deepEqual(await names(user), ['INBOX']);
    makeMaildir(join(root, '.made'));
    assert.deepEqual(await names(user), ['INBOX', 'made']);
    // A listing that is old enough is not read again while the folder's time stamp stays.
    utimesSync(root, 1_700_000_000, 1_700_000_000);
    assert.deepEqual(await names(user), ['INBOX', 'made']);
    makeMaildir(join(root, '.hidden'));
    utimesSync(root, 1_700_000_000, 1_700_000_000);
    assert.deepEqual(await names(user), ['INBOX', 'made'], 'from memory');
    makeMaildir(join(root, '.later'));
    assert.deepEqual(await names(user), ['INBOX', 'hidden', 'later', 'made']);
  });

  it('passes over names that no client could use', async (test) => {
    const { folder, open } = makeStore(test);
    await using user = await open();
    const root = join(folder, 'home/bob/Maildir');
    for (const name of ['.a..b', '.', '.bad&name', '.ü', '.INBOX', 'plain', '.ok']) if (name !== '.') makeMaildir(join(root, name));
    writeFileSync(join(root, '.file'), '');
    symlinkSync(join(root, '.ok'), join(root, '.link'));
    assert.deepEqual(await names(user), ['INBOX', 'link', 'ok']);
  });

  it('shows another separator to clients when told', async (test) => {
    const { folder, open } = makeStore(test, 'mail_location = maildir:~/Maildir\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n');
    await using user = await open();
    await create(user, 'a/b');
    assert.ok(existsSync(join(folder, 'home/bob/Maildir/.a.b/cur')));
    assert.deepEqual(await names(user), ['INBOX', 'a', 'a/b']);
    await assert.rejects(create(user, 'a.b'), { code: 'invalid-name', clientText: "Character not allowed in mailbox name: '.'" });
    await rejectsWith(user.openMailbox('a.b', never), 'invalid-name');
  });

  for (const name of ['../evil', '..', '../../etc', 'a/../../b', './x', 'x/..', '/etc/passwd', '~root/x', '.', 'a/.']) {
    it(`never leaves the folder for ${name}`, async (test) => {
      const { folder, open } = makeStore(test, 'mail_location = maildir:~/Maildir\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n');
      await using user = await open();
      await user.openMailbox('INBOX', never);
      await assert.rejects(create(user, name));
      await assert.rejects(user.openMailbox(name, never));
      await assert.rejects(user.delete(name, never));
      await assert.rejects(user.rename('INBOX', name, never));
      assert.deepEqual(readdirSync(join(folder, 'home/bob')), ['Maildir']);
      assert.ok(readdirSync(join(folder, 'home/bob/Maildir')).every((entry) => !entry.startsWith('.')));
    });
  }

  it('puts control and index files elsewhere', async (test) => {
    const { folder, open } = makeStore(test, 'mail_location = maildir:~/Maildir:CONTROL=FOLDER/control/%u:INDEX=FOLDER/index/%u');
    await using user = await open();
    await append(await user.openMailbox('INBOX', never));
    await create(user, 'a');
    await user.subscribe('a', true, never);
    const root = join(folder, 'home/bob/Maildir');
    assert.ok(existsSync(join(folder, 'control/bob/.INBOX/dovecot-uidlist')));
    assert.ok(existsSync(join(folder, 'control/bob/.a/dovecot-uidlist')));
    assert.ok(existsSync(join(folder, 'control/bob/subscriptions')));
    assert.ok(!existsSync(join(root, 'dovecot-uidlist')));
    assert.deepEqual(await names(user, '*', true), ['a']);
  });
});

describe('LAYOUT=fs account', () => {
  const config = 'mail_location = maildir:~/Mail:LAYOUT=fs';

  it('keeps folders inside each other', async (test) => {
    const { folder, open } = makeStore(test, config);
    await using user = await open();
    const root = join(folder, 'home/bob/Mail');
    await append(await user.openMailbox('INBOX', never));
    await create(user, 'a/b/c.d');
    assert.ok(existsSync(join(root, 'cur')));
    assert.ok(existsSync(join(root, 'a/b/c.d/cur')));
    assert.deepEqual(await names(user), ['INBOX', 'a', 'a/b', 'a/b/c.d']);
    assert.deepEqual((await user.list(['a'], { subscribedOnly: false }, never))[0]?.isSelectable, false);
    await user.subscribe('a/b/c.d', true, never);
    assert.equal(readFileSync(join(root, 'subscriptions'), 'utf8'), 'V\t2\n\na\tb\tc.d\n');
    await create(user, 'a/b');
    await user.rename('a/b', 'z', never);
    assert.ok(existsSync(join(root, 'z/c.d/cur')));
    assert.deepEqual(await names(user), ['INBOX', 'a', 'z', 'z/c.d']);
    await user.delete('z', never);
    assert.ok(existsSync(join(root, 'z/c.d/cur')), 'what is below stays');
    assert.deepEqual(await names(user), ['INBOX', 'a', 'z', 'z/c.d']);
    await user.delete('z/c.d', never);
    await user.delete('z', never);
    await user.delete('a', never);
    assert.deepEqual(await names(user), ['INBOX']);
  });

  it('renames a folder that only holds others', async (test) => {
    const { folder, open } = makeStore(test, config);
    await using user = await open();
    await create(user, 'a/b');
    await user.rename('a', 'x', never);
    assert.ok(existsSync(join(folder, 'home/bob/Mail/x/b/cur')));
    assert.deepEqual(await names(user), ['INBOX', 'x', 'x/b']);
  });

  for (const name of ['cur', 'a/new', 'tmp/x', 'dovecot-uidlist', 'subscriptions', 'roost.index', '.hidden', '..', 'a/../b']) {
    it(`does not allow a mailbox ${name}`, async (test) => {
      const { open } = makeStore(test, config);
      await using user = await open();
      await rejectsWith(create(user, name), 'invalid-name');
      await rejectsWith(user.openMailbox(name, never), 'invalid-name');
    });
  }

  it('keeps mail in a folder of its own with DIRNAME', async (test) => {
    const { folder, open } = makeStore(test, 'mail_location = maildir:~/Mail:LAYOUT=fs:DIRNAME=mAiL');
    await using user = await open();
    await create(user, 'a');
    await create(user, 'a/b');
    const inbox = await user.openMailbox('INBOX', never);
    await append(inbox);
    assert.ok(existsSync(join(folder, 'home/bob/Mail/a/mAiL/cur')));
    assert.ok(existsSync(join(folder, 'home/bob/Mail/INBOX/mAiL/cur')));
    assert.deepEqual(await names(user), ['INBOX', 'a', 'a/b']);
    await user.rename('a', 'x', never);
    assert.ok(existsSync(join(folder, 'home/bob/Mail/x/b/mAiL/cur')));
    assert.deepEqual(await names(user), ['INBOX', 'x', 'x/b']);
  });
});

describe('settings of an account', () => {
  it('replace variables in the location', async (test) => {
    const { folder, open } = makeStore(test, 'mail_location = maildir:FOLDER/%d/%1n/%Ln');
    await using user = await open({}, { user: 'Bob@example.org' });
    await user.openMailbox('INBOX', never);
    assert.ok(existsSync(join(folder, 'example.org/B/bob/cur')));
  });

  it('come second to what userdb says', async (test) => {
    const { folder, open } = makeStore(test);
    await using user = await open({ mail: `maildir:${folder}/own` });
    await user.openMailbox('INBOX', never);
    assert.ok(existsSync(join(folder, 'own/cur')));
  });

  it('make a home from mail_home when userdb has none', async (test) => {
    const { folder, store } = makeStore(test, 'mail_home = FOLDER/users/%n\nmail_location = maildir:~/Maildir');
    mkdirSync(join(folder, 'users/eve'), { recursive: true });
    await using user = await store.openUser({ user: 'eve@x', fields: {} }, 'imap', never);
    await user.openMailbox('INBOX', never);
    assert.ok(existsSync(join(folder, 'users/eve/Maildir/cur')));
  });

  for (const user of ['../root', 'a/b', '..', '']) {
    it(`refuse the user name ${JSON.stringify(user)}`, async (test) => {
      const { store } = makeStore(test, 'mail_location = maildir:FOLDER/%u');
      await rejectsWith(store.openUser({ user, fields: {} }, 'imap', never), 'unavailable');
    });
  }

  it('refuse a variable that has no value, rather than make a folder with a wrong name', async (test) => {
    const { open } = makeStore(test, 'mail_location = maildir:FOLDER/%{nonsense}');
    await rejectsWith(open(), 'unavailable');
  });

  it('put namespaces on several locations', async (test) => {
    const { folder, open } = makeStore(
      test,
      [
        'mail_location = maildir:~/Maildir',
        'namespace inbox {\n  inbox = yes\n  separator = /\n  mailbox Trash {\n    auto = subscribe\n    special_use = \\Trash\n  }\n}',
        'namespace {\n  type = public\n  prefix = Public/\n  separator = /\n  location = maildir:FOLDER/public\n  subscriptions = no\n}',
        'namespace old {\n  prefix = "#mail/"\n  separator = /\n  hidden = yes\n  list = no\n  alias_for =\n}',
      ].join('\n'),
    );
    await using user = await open();
    assert.deepEqual(
      user.namespaces.map(({ type, prefix, isHidden }) => [type, prefix, isHidden]),
      [
        ['private', '', false],
        ['public', 'Public/', false],
        ['private', '#mail/', true],
      ],
    );
    await create(user, 'Public/news');
    await user.subscribe('Public/news', true, never);
    assert.ok(existsSync(join(folder, 'public/.news/cur')));
    assert.deepEqual(await names(user), ['INBOX', 'Trash', 'Public', 'Public/news']);
    assert.deepEqual(await names(user, '*', true), ['Trash', 'Public', 'Public/news']);
    assert.match(readFileSync(join(folder, 'home/bob/Maildir/subscriptions'), 'utf8'), /^Public\tnews$/m);
    await create(user, 'own');
    const own = await user.openMailbox('own', never);
    await append(own);
    const alias = await user.openMailbox('#mail/own', never);
    await using view = await openView(alias);
    assert.equal(view.count, 1, 'the alias shows the same messages');
  });

  for (const [title, config] of [
    ['no namespace has INBOX', 'namespace a {\n  prefix = a/\n  separator = /\n}'],
    ['a prefix does not end with the separator', 'namespace a {\n  inbox = yes\n  prefix = a\n  separator = /\n}'],
    ['an alias is of nothing', 'namespace a {\n  inbox = yes\n}\nnamespace b {\n  prefix = b.\n  alias_for = c.\n}'],
    ['the format is not Maildir', 'mail_location = mbox:~/mail'],
  ] as const) {
    it(`are refused when ${title}`, async (test) => {
      const { open } = makeStore(test, config);
      await rejectsWith(open(), 'unavailable');
    });
  }
});

describe('autoexpunge', () => {
  it('removes messages beyond a number when the user leaves', async (test) => {
    const { open } = makeStore(
      test,
      'mail_location = maildir:~/Maildir\nnamespace inbox {\n  inbox = yes\n  mailbox Trash {\n    auto = create\n    autoexpunge_max_mails = 2\n  }\n  mailbox Junk {\n    auto = create\n    autoexpunge = 1d\n  }\n}',
    );
    {
      await using user = await open();
      const trash = await user.openMailbox('Trash', never);
      for (let index = 0; index < 5; index += 1) await append(trash);
      await append(await user.openMailbox('Junk', never), 'x', { dateMs: 0 });
    }
    await using user = await open({}, { service: 'lmtp' });
    assert.equal((await (await user.openMailbox('Trash', never)).status({ size: false }, never)).messages, 2);
    // Saved just now, however old the message itself is.
    assert.equal((await (await user.openMailbox('Junk', never)).status({ size: false }, never)).messages, 1);
  });

  it('removes also what another session marks otherwise at that moment', async (test) => {
    const { open } = makeStore(
      test,
      'mail_location = maildir:~/Maildir\nnamespace inbox {\n  inbox = yes\n  mailbox Trash {\n    auto = create\n    autoexpunge_max_mails = 1\n  }\n}',
    );
    const user = await open();
    const trash = await user.openMailbox('Trash', never);
    for (let index = 0; index < 3; index += 1) await append(trash);
    const other = await openView(trash);
    let stores = 0;
    const openMailbox = user.openMailbox.bind(user);
    user.openMailbox = async (...wanted) => {
      const mailbox = await openMailbox(...wanted);
      const openOne = mailbox.openView.bind(mailbox);
      mailbox.openView = async (...options) => {
        const view = await openOne(...options);
        const expunge = view.expunge.bind(view);
        view.expunge = async (...about) => {
          stores += 1;
          const flags = { system: flagBit.flagged, keywords: [] };
          await other.store([1, 2], { mode: 'replace', flags, unchangedSince: undefined }, { silent: true }, never);
          return expunge(...about);
        };
        return view;
      };
      return mailbox;
    };
    await user[Symbol.asyncDispose]();
    assert.equal(stores, 1);
    await using again = await open({}, { service: 'lmtp' });
    assert.equal((await (await again.openMailbox('Trash', never)).status({ size: false }, never)).messages, 1);
  });
});
