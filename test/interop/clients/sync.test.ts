// Programs that keep a local copy: what is there and here in the end is the same, and a second run changes nothing.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type AccountState, accountState, agreedState, ImapClient, stateLines } from '../support/imap.js';
import { makeMessage } from '../support/mail.js';
import { mustRun, requireProgram } from '../support/programs.js';
import { startServer } from '../support/servers.js';
import { fillAccount, startSession } from '../support/session.js';
import { makeWorld, password } from '../support/world.js';

/** Every file below a folder with its octets, without what a client keeps for itself. */
function fileTree(folder: string): string[] {
  const files: string[] = [];
  const visit = (path: string): void => {
    for (const name of readdirSync(path).sort()) {
      const full = join(path, name);
      if (statSync(full).isDirectory()) visit(full);
      else if (/\/(cur|new)\//.test(full))
        files.push(`${full.slice(folder.length)} ${createHash('sha1').update(readFileSync(full)).digest('hex')}`);
    }
  };
  visit(folder);
  return files;
}

/** Subjects by flags letters of the messages in one local Maildir. */
function localMessages(maildir: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const sub of ['cur', 'new']) {
    if (!existsSync(join(maildir, sub))) continue;
    for (const name of readdirSync(join(maildir, sub))) {
      const subject = /^Subject: (.*?)\r?$/m.exec(readFileSync(join(maildir, sub, name), 'utf8'))?.[1] ?? '?';
      found[subject] = (/:2,([A-Z]*)/.exec(name)?.[1] ?? '').split('').sort().join('');
    }
  }
  return found;
}

/**
 * Hash of a message's text, whatever their line ends are, without what a client puts on top for itself, and without
 * empty lines: offlineimap adds some to a multipart.
 */
function textHash(text: string): string {
  const plain = text
    .replace(/^X-(?:TUID|OfflineIMAP): .*\r?\n/gm, '')
    .replace(/(\r?\n)+/g, '\n')
    .trimEnd();
  return createHash('sha1').update(Buffer.from(plain, 'latin1')).digest('hex');
}

function localTexts(maildir: string): readonly string[] {
  return ['cur', 'new']
    .flatMap((sub) => readdirSync(join(maildir, sub)).map((name) => textHash(readFileSync(join(maildir, sub, name), 'latin1'))))
    .sort();
}

async function remoteTexts(port: number, mailbox: string): Promise<readonly string[]> {
  const client = await ImapClient.login(port, 'anna');
  await client.ok(`EXAMINE "${mailbox}"`);
  const lines = await client.ok('UID FETCH 1:* (BODY.PEEK[])');
  await client.logout();
  return lines.flatMap((line) => /BODY\[\] \{\d+\}\r\n(.*)\)$/s.exec(line)?.slice(1).map(textHash) ?? []).sort();
}

function remoteMessageCount(state: AccountState): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(state.mailboxes).map(([name, { messages }]) => [name, messages.length]));
}

/** Marks, removes and adds a message in a local Maildir, as a mail reader on files does. */
function changeLocally(maildir: string): void {
  const cur = join(maildir, 'cur');
  const fileOf = (folder: string, subject: string): string | undefined =>
    readdirSync(join(maildir, folder)).find((name) =>
      new RegExp(`^Subject: ${subject}\\r?$`, 'm').test(readFileSync(join(maildir, folder, name), 'utf8')),
    );
  const place = (subject: string): readonly [string, string] => {
    for (const folder of ['cur', 'new']) {
      const name = fileOf(folder, subject);
      if (name !== undefined) return [folder, name];
    }
    throw new Error(`no local file of ${subject}`);
  };
  const [folderOfTwo, two] = place('two');
  renameSync(join(maildir, folderOfTwo, two), join(cur, `${two.replace(/:2,.*$/, '')}:2,FS`));
  const [folderOfFour, four] = place('four');
  unlinkSync(join(maildir, folderOfFour, four));
  writeFileSync(
    join(cur, `${Math.floor(Date.now() / 1000)}.local_1.here:2,S`),
    makeMessage({ subject: 'made here' }).replaceAll('\r\n', '\n'),
  );
}

async function changeRemotely(port: number): Promise<void> {
  const client = await ImapClient.login(port, 'anna');
  await client.ok('SELECT INBOX');
  await client.ok('STORE 1 -FLAGS (\\Seen)');
  await client.ok('STORE 5 +FLAGS (\\Deleted)');
  await client.ok('EXPUNGE');
  await client.append('INBOX', '\\Flagged', makeMessage({ subject: 'made there' }));
  await client.ok('CREATE Later');
  await client.append('Later', '', makeMessage({ subject: 'in later' }));
  await client.logout();
}

describe('mbsync with Roost', () => {
  it('syncs both ways, and a second sync changes nothing', async (test) => {
    requireProgram('mbsync');
    const { world, folder, server } = await startSession(test);
    await fillAccount(world);
    const near = join(folder, 'near');
    mkdirSync(near);
    writeFileSync(
      join(folder, 'mbsyncrc'),
      `IMAPStore far
Host localhost
Port ${world.ports.imaps}
User anna
Pass ${password}
SSLType IMAPS
CertificateFile ${join(world.folder, 'cert.pem')}
AuthMechs PLAIN

MaildirStore near
Path ${near}/
Inbox ${near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
Sync All
CopyArrivalDate yes
SyncState ${folder}/state/
`,
    );
    mkdirSync(join(folder, 'state'));
    const sync = (): Promise<string> => mustRun('mbsync', ['-q', '-c', join(folder, 'mbsyncrc'), 'all']);
    await sync();
    assert.equal(Object.keys(localMessages(join(near, 'INBOX'))).length, 5);
    assert.equal(Object.keys(localMessages(join(near, 'Work'))).length, 2);
    assert.equal(Object.keys(localMessages(join(near, 'B&APw-cher'))).length, 1);
    changeLocally(join(near, 'INBOX'));
    await changeRemotely(world.ports.imap);
    await sync();
    const state = await accountState(world.ports.imap, 'anna');
    const local = localMessages(join(near, 'INBOX'));
    assert.deepEqual(local, { one: '', two: 'FS', '=?utf-8?q?three_=C3=BC?=': 'F', 'made here': 'S', 'made there': 'F' });
    assert.equal(remoteMessageCount(state)['INBOX'], 5);
    assert.equal(Object.keys(localMessages(join(near, 'Later'))).length, 1);
    for (const name of ['INBOX', 'Work', 'Later', 'B&APw-cher'])
      assert.deepEqual(localTexts(join(near, name)), await remoteTexts(world.ports.imap, name), name);
    const [before, remote] = [fileTree(near), state];
    await sync();
    assert.deepEqual(fileTree(near), before);
    assert.deepEqual(await accountState(world.ports.imap, 'anna'), remote);
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });
});

describe('offlineimap with Roost', () => {
  it('syncs both ways, and a second sync changes nothing', async (test) => {
    requireProgram('offlineimap');
    const { world, folder, server } = await startSession(test);
    await fillAccount(world);
    const near = join(folder, 'near');
    mkdirSync(near);
    writeFileSync(
      join(folder, 'rc'),
      `[general]
accounts = a
metadata = ${folder}/meta
ui = basic
[Account a]
localrepository = local
remoterepository = remote
[Repository local]
type = Maildir
localfolders = ${near}
sync_deletes = yes
[Repository remote]
type = IMAP
remotehost = 127.0.0.1
remoteport = ${world.ports.imap}
remoteuser = anna
remotepass = ${password}
ssl = no
starttls = no
auth_mechanisms = PLAIN
`,
    );
    const sync = (): Promise<string> => mustRun('offlineimap', ['-o', '-1', '-c', join(folder, 'rc')], { env: { HOME: folder } });
    await sync();
    assert.equal(Object.keys(localMessages(join(near, 'INBOX'))).length, 5);
    changeLocally(join(near, 'INBOX'));
    await changeRemotely(world.ports.imap);
    await sync();
    const state = await accountState(world.ports.imap, 'anna');
    assert.equal(remoteMessageCount(state)['INBOX'], 5);
    const local = localMessages(join(near, 'INBOX'));
    assert.deepEqual(Object.keys(local).sort(), ['=?utf-8?q?three_=C3=BC?=', 'made here', 'made there', 'one', 'two']);
    assert.equal(local['two'], 'FS');
    for (const name of ['INBOX', 'Work', 'Later', 'B&APw-cher'])
      assert.deepEqual(localTexts(join(near, name)), await remoteTexts(world.ports.imap, name), name);
    assert.equal(local['one'], '');
    await sync();
    const before = fileTree(near);
    await sync();
    assert.deepEqual(fileTree(near), before);
    assert.deepEqual(await accountState(world.ports.imap, 'anna'), state);
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });
});

describe("Dovecot's own IMAP client with Roost", () => {
  it('takes a whole account over by doveadm backup, and what has changed by a second', async (test) => {
    requireProgram('doveadm');
    const { world, server } = await startSession(test);
    await fillAccount(world);
    const target = await makeWorld({
      extra: `imapc_host = 127.0.0.1
imapc_port = ${world.ports.imap}
imapc_user = anna
imapc_password = ${password}
imapc_features = fetch-headers fetch-bodystructure delay-login
`,
    });
    test.after(() => target.remove());
    await using _dovecot = await startServer('dovecot', target);
    const backup = (): Promise<string> => mustRun('doveadm', ['-c', target.configFile, 'backup', '-R', '-u', 'berta', 'imapc:']);
    const shape = (state: AccountState): unknown =>
      Object.fromEntries(
        Object.entries(state.mailboxes)
          .filter(([, { messages }]) => messages.length > 0)
          .map(([name, { uidValidity, messages }]) => [
            name,
            [uidValidity, ...messages.map(({ uid, flags, date, size, body }) => `${uid} (${flags.join(' ')}) ${date} ${size} ${body}`)],
          ]),
      );
    await backup();
    const first = await accountState(world.ports.imap, 'anna');
    assert.deepEqual(shape(await accountState(target.ports.imap, 'berta')), shape(first));
    await changeRemotely(world.ports.imap);
    const client = await ImapClient.login(world.ports.imap, 'anna');
    await client.ok('SELECT INBOX');
    await client.ok('UID STORE 2 +FLAGS (\\Answered $Label1)');
    await client.ok('UID MOVE 3 Work');
    await client.logout();
    await backup();
    const second = await accountState(world.ports.imap, 'anna');
    assert.deepEqual(
      second.mailboxes['INBOX']?.messages.map(({ uid, flags }) => `${uid} ${flags.join(' ')}`),
      ['1 ', '2 $Label1 \\Answered', '4 \\Answered \\Seen', '6 \\Flagged'],
    );
    const copy = await accountState(target.ports.imap, 'berta');
    assert.deepEqual(shape(copy), shape(second));
    await backup();
    assert.deepEqual(stateLines(await accountState(target.ports.imap, 'berta')), stateLines(copy), 'a further run changes nothing');
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });

  it('shows the same mailboxes when Dovecot is a proxy in front of Roost', async (test) => {
    const { world } = await startSession(test);
    await fillAccount(world);
    const front = await makeWorld({
      settings: { imapc_host: '127.0.0.1', imapc_port: String(world.ports.imap), imapc_user: '%n', imapc_password: password },
    });
    test.after(() => front.remove());
    const config = readFileSync(front.configFile, 'utf8').replace('mail_location = maildir:~/Maildir', 'mail_location = imapc:~/imapc');
    writeFileSync(front.configFile, config);
    await using _dovecot = await startServer('dovecot', front);
    const state = await agreedState([world.ports.imap, world.ports.imap], 'anna');
    const through = await accountState(front.ports.imap, 'anna');
    assert.deepEqual(through.mailboxes['INBOX']?.messages, state.mailboxes['INBOX']?.messages);
    assert.deepEqual(through.mailboxes['B&APw-cher']?.messages, state.mailboxes['B&APw-cher']?.messages);
  });
});

describe('interimap between Dovecot and Roost', () => {
  it('keeps two accounts the same by QRESYNC, in both directions', async (test) => {
    requireProgram('interimap');
    const { world, folder, server } = await startSession(test);
    await fillAccount(world);
    const other = await makeWorld();
    test.after(() => other.remove());
    await using _dovecot = await startServer('dovecot', other);
    const rc = join(folder, 'rc');
    const side = (name: string, port: number): string =>
      `[${name}]\ntype = imap\nhost = 127.0.0.1\nport = ${port}\nusername = anna\npassword = ${password}\nSTARTTLS = NO\nauth = PLAIN\ncompress = NO\n`;
    writeFileSync(
      rc,
      `database = ${folder}/db\nlist-mailbox = "*"\n${side('local', other.ports.imap)}${side('remote', world.ports.imap)}`,
      { mode: 0o600 },
    );
    const sync = (): Promise<string> =>
      mustRun('interimap', ['--config', rc, '--quiet'], { env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder } });
    const shape = (state: AccountState): unknown =>
      Object.fromEntries(
        Object.entries(state.mailboxes).map(([name, { messages }]) => [
          name,
          messages.map(({ flags, date, body }) => `${flags} ${date} ${body}`).sort(),
        ]),
      );
    await sync();
    assert.deepEqual(shape(await accountState(other.ports.imap, 'anna')), shape(await accountState(world.ports.imap, 'anna')));
    await changeRemotely(world.ports.imap);
    const client = await ImapClient.login(other.ports.imap, 'anna');
    await client.ok('SELECT INBOX');
    await client.ok('STORE 2 +FLAGS (\\Answered $Label2)');
    await client.append('Work', '\\Flagged', makeMessage({ subject: 'from the other side' }));
    await client.logout();
    await sync();
    await sync();
    const [here, there] = [await accountState(other.ports.imap, 'anna'), await accountState(world.ports.imap, 'anna')];
    assert.deepEqual(shape(here), shape(there));
    assert.equal(there.mailboxes['Work']?.messages.length, 3);
    assert.equal(here.mailboxes['Later']?.messages.length, 1);
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });
});
