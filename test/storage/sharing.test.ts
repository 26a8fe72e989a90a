// Mailboxes of other users through the store itself: files, settings, limits. What clients see of them is in test/transcripts/imap/sharing.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { flagBit } from '#storage/types.js';
import type { MailUser } from '#storage/user.js';
import { never } from '../contract/world.js';
import { makeStore } from './support/store-world.js';

function config(plugin = '', namespace = ''): string {
  return `mail_location = maildir:~/Maildir
namespace inbox {
  inbox = yes
  separator = /
}
namespace shared {
  type = shared
  prefix = shared/%%u/
  separator = /
  location = maildir:%%h/Maildir:INDEX=~/shared/%%u
  subscriptions = no
  list = children
  ${namespace}
}
plugin {
  acl_shared_dict = file:FOLDER/dict
  ${plugin}
}
`;
}

function makeWorld(test: TestContext, plugin?: string, namespace?: string) {
  const world = makeStore(test, config(plugin, namespace), silentLogger, (name) => ['anna', 'otto', 'eve'].includes(name));
  return {
    ...world,
    as: (user: string, options: { readonly service?: string } = {}) => world.open({}, { user, ...options }),
    maildir: (user: string) => join(world.folder, 'home', user, 'Maildir'),
  };
}

async function save(user: MailUser, mailbox: string, text = 'Subject: x\r\n\r\nx\r\n'): Promise<void> {
  const opened = await user.openMailbox(mailbox, never);
  await using transaction = opened.beginAppend('append');
  const writer = await transaction.add({ flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined }, never);
  await writer.write(Buffer.from(text));
  await writer.end();
  await transaction.commit(never);
}

async function shareWork(otto: MailUser, rights = 'lrwstipekxa'): Promise<void> {
  await otto.create('Work', { specialUse: [] }, never);
  await otto.setAcl('Work', 'user=anna', rights, never);
}

const files = (maildir: string): string[] =>
  ['new', 'cur'].flatMap((folder) => readdirSync(join(maildir, folder)).map((name) => join(maildir, folder, name)));

describe('mailboxes of other users', () => {
  it('are links of the same file where owner, group and mode of the folders are the same', async (test) => {
    const world = makeWorld(test);
    const [anna, otto] = [await world.as('anna'), await world.as('otto')];
    await shareWork(otto);
    await save(anna, 'INBOX');
    await using view = await (await anna.openMailbox('INBOX', never)).openView({ readOnly: false }, never);
    await view.copy([1], await anna.openMailbox('shared/otto/Work', never), never);
    const [copy = ''] = files(join(world.maildir('otto'), '.Work'));
    assert.equal(statSync(copy).nlink, 2);
    await anna[Symbol.asyncDispose]();
    await otto[Symbol.asyncDispose]();
  });

  for (const how of ['copy', 'move'] as const) {
    it(`get files of their own by ${how} where the folders differ, with the mode that belongs there`, async (test) => {
      const world = makeWorld(test);
      const [anna, otto] = [await world.as('anna'), await world.as('otto')];
      await shareWork(otto);
      const work = join(world.maildir('otto'), '.Work');
      for (const folder of ['', 'cur', 'new', 'tmp']) chmodSync(join(work, folder), 0o770);
      await save(anna, 'INBOX');
      await using view = await (await anna.openMailbox('INBOX', never)).openView({ readOnly: false }, never);
      await view[how]([1], await anna.openMailbox('shared/otto/Work', never), never);
      const [copy = ''] = files(work);
      assert.equal(statSync(copy).nlink, 1);
      assert.equal(statSync(copy).mode & 0o777, 0o660);
      assert.equal(files(world.maildir('anna')).length, how === 'copy' ? 1 : 0);
      await anna[Symbol.asyncDispose]();
      await otto[Symbol.asyncDispose]();
    });
  }

  it('have an index of each reader where INDEX= says so, apart from that of the owner', async (test) => {
    const world = makeWorld(test);
    const [anna, otto] = [await world.as('anna'), await world.as('otto')];
    await shareWork(otto, 'lrs');
    await save(otto, 'Work');
    const [theirs, own] = [await anna.openMailbox('shared/otto/Work', never), await otto.openMailbox('Work', never)];
    await using reading = await theirs.openView({ readOnly: false }, never);
    await using writing = await own.openView({ readOnly: false }, never);
    await writing.store(
      [1],
      { mode: 'add', flags: { system: flagBit.flagged, keywords: [] }, unchangedSince: undefined },
      { silent: true },
      never,
    );
    await reading.sync({ allowExpunge: true }, never);
    assert.equal(reading.systemFlagsAt(1) & flagBit.flagged, flagBit.flagged);
    const hasIndex = (folder: string): boolean => readdirSync(folder).some((name) => name.startsWith('roost.index'));
    assert.ok(hasIndex(join(world.folder, 'home', 'anna', 'shared', 'otto', '.Work')));
    assert.ok(hasIndex(join(world.maildir('otto'), '.Work')));
    await anna[Symbol.asyncDispose]();
    await otto[Symbol.asyncDispose]();
  });

  it('are not there for deliveries, nor their names in the private namespace', async (test) => {
    const world = makeWorld(test);
    const otto = await world.as('otto');
    await shareWork(otto);
    await using anna = await world.as('anna', { service: 'lmtp' });
    await assert.rejects(anna.openMailbox('shared/otto/Work', never), { code: 'not-found' });
    await otto[Symbol.asyncDispose]();
  });

  it('make nothing on disk for owners who are not there', async (test) => {
    const world = makeWorld(test);
    await using anna = await world.as('anna');
    for (const name of ['shared/eve', 'shared/eve/Work', 'shared/nobody/Work', 'shared/../eve/Work', 'shared/otto/../../eve'])
      await assert.rejects(anna.openMailbox(name, never), { code: 'not-found' });
    await assert.rejects(anna.create('shared/eve/New', { specialUse: [] }, never), { code: 'no-permission' });
    assert.deepEqual(readdirSync(join(world.folder, 'home')), ['anna']);
    assert.ok(!existsSync(join(world.folder, 'home', 'anna', 'shared')));
  });

  it('that cannot be read by this process are as if they were not shared', {
    skip: process.getuid?.() === 0 ? 'root reads everything' : false,
  }, async (test) => {
    const world = makeWorld(test);
    const otto = await world.as('otto');
    await shareWork(otto);
    await otto[Symbol.asyncDispose]();
    chmodSync(world.maildir('otto'), 0);
    try {
      await using anna = await world.as('anna');
      await assert.rejects(anna.openMailbox('shared/otto/Work', never), { code: 'not-found' });
      assert.deepEqual(await anna.list(['shared/*'], { subscribedOnly: false }, never), []);
    } finally {
      chmodSync(world.maildir('otto'), 0o700);
    }
  });

  it('begin with the list of INBOX where that is set', async (test) => {
    const world = makeWorld(test, 'acl_defaults_from_inbox = yes');
    const [anna, otto] = [await world.as('anna'), await world.as('otto')];
    await otto.create('Work', { specialUse: [] }, never);
    await otto.setAcl('INBOX', 'user=anna', 'lr', never);
    assert.equal(await anna.rightsOn('shared/otto/Work', never), 'lr');
    await otto.setAcl('Work', 'user=anna', 'l', never);
    assert.equal(await anna.rightsOn('shared/otto/Work', never), 'l');
    await anna[Symbol.asyncDispose]();
    await otto[Symbol.asyncDispose]();
  });

  it('are limited by a list for all users, and closed while that cannot be read', async (test) => {
    const world = makeWorld(test, 'acl = vfile:FOLDER/global');
    const list = join(world.folder, 'global');
    writeFileSync(list, '# all\nshared/*/Work user=anna l\nWork* owner lr\n');
    const [anna, otto] = [await world.as('anna'), await world.as('otto')];
    await otto.create('Work', { specialUse: [] }, never);
    await otto.create('Play', { specialUse: [] }, never);
    for (const name of ['Work', 'Play']) await otto.setAcl(name, 'user=anna', 'lrs', never);
    assert.equal(await anna.rightsOn('shared/otto/Work', never), 'l');
    assert.equal(await anna.rightsOn('shared/otto/Play', never), 'lrs');
    assert.equal(await otto.rightsOn('Work', never), 'lr');
    for (const broken of ['what is this\n', undefined]) {
      if (broken === undefined) rmSync(list);
      else writeFileSync(list, broken);
      await assert.rejects(anna.rightsOn('shared/otto/Play', never), { code: 'unavailable' });
      await assert.rejects(anna.openMailbox('shared/otto/Play', never), { code: 'unavailable' });
    }
    await anna[Symbol.asyncDispose]();
    await otto[Symbol.asyncDispose]();
  });

  it('go out of the dictionary with the mailbox, and stay with one that is renamed', async (test) => {
    const world = makeWorld(test);
    await using otto = await world.as('otto');
    await shareWork(otto);
    const dict = (): string => readFileSync(join(world.folder, 'dict'), 'utf8');
    assert.equal(dict(), 'shared/shared-boxes/user/anna/otto\n1\n');
    await otto.rename('Work', 'Play', never);
    assert.equal(dict(), 'shared/shared-boxes/user/anna/otto\n1\n');
    await otto.delete('Play', never);
    assert.equal(dict(), '');
  });

  it('are reached as INBOX of the owner by one name or the other', async (test) => {
    const world = makeStore(test, `mail_shared_explicit_inbox = yes\n${config()}`, silentLogger, () => true);
    const [anna, otto] = [await world.open({}, { user: 'anna' }), await world.open({}, { user: 'otto' })];
    await save(otto, 'INBOX');
    await otto.setAcl('INBOX', 'user=anna', 'lr', never);
    const names = async (): Promise<string[]> => (await anna.list(['shared*'], { subscribedOnly: false }, never)).map(({ name }) => name);
    assert.deepEqual(await names(), ['shared', 'shared/otto', 'shared/otto/INBOX']);
    assert.equal((await anna.openMailbox('shared/otto/INBOX', never)).name, 'shared/otto/INBOX');
    await assert.rejects(anna.openMailbox('shared/otto', never), { code: 'not-found' });
    await anna[Symbol.asyncDispose]();
    await otto[Symbol.asyncDispose]();
  });

  for (const [what, plugin, namespace, reason] of [
    ['INDEXPVT', '', 'location = maildir:%%h/Maildir:INDEXPVT=~/pvt', /INDEXPVT is not supported/],
    ['no location', '', 'location =', /needs a location/],
    ['a prefix without separator', '', 'prefix = shared%%u/', /prefix of a shared namespace/],
    ['a dictionary that is no file', 'acl_shared_dict = proxy::acl', '', /only file:\/PATH is supported/],
  ] as const) {
    it(`are refused with ${what}, and the log says why`, async (test) => {
      const world = makeWorld(test, plugin, namespace);
      await assert.rejects(world.as('anna'), reason);
    });
  }

  it('whose list is changed by another program are shared anew at once', async (test) => {
    const world = makeWorld(test);
    const [anna, otto] = [await world.as('anna'), await world.as('otto')];
    await shareWork(otto, 'lr');
    assert.equal(await anna.rightsOn('shared/otto/Work', never), 'lr');
    const file = join(world.maildir('otto'), '.Work', 'dovecot-acl');
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, 'user=anna l\n');
    assert.equal(await anna.rightsOn('shared/otto/Work', never), 'l');
    await anna[Symbol.asyncDispose]();
    await otto[Symbol.asyncDispose]();
  });
});
