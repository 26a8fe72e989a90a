// A server of root where each user has a uid: smtp and lmtp touch no mail themselves.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { askMaster, type ProcessStatusRow } from '#ipc/master-client.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { nobodyUid, type RunningRoost, startRoost } from '../support/running-roost.js';
import { until } from './master-world.js';

const uids = { anna: 20_011, bert: 20_012 } as const;

describe('Messages for users with uids of their own', { skip: process.getuid?.() === 0 ? false : 'only root can change users' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-users-'));
  let server: RunningRoost;

  before(async () => {
    chmodSync(folder, 0o755);
    for (const [name, uid] of Object.entries(uids)) {
      mkdirSync(join(folder, name), { mode: 0o700 });
      chownSync(join(folder, name), uid, uid);
    }
    server = await startRoost({
      protocols: ['imap', 'smtp', 'lmtp'],
      users: {
        anna: `{PLAIN}secret:${uids.anna}:${uids.anna}::${join(folder, 'anna')}::`,
        bert: `{PLAIN}secret:${uids.bert}:${uids.bert}::${join(folder, 'bert')}::`,
        root: '{PLAIN}secret:0:0::/root::',
        noone: '{PLAIN}secret::::/nowhere::',
      },
      settings: { mail_uid: '', mail_gid: '' },
    });
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  const processes = async (...services: string[]): Promise<readonly ProcessStatusRow[]> => {
    const reply = await askMaster(server.baseDir, { command: 'process-status', services }, { timeoutMs: patienceMs });
    return reply.ok ? (reply.processes ?? []) : [];
  };
  const uidOf = (pid: number): number => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  const messages = (user: string): string[] => {
    const path = join(folder, user, 'Maildir', 'new');
    return readdirSync(path).map((name) => readFileSync(join(path, name), 'utf8'));
  };

  class Sender {
    readonly client: LineClient;
    constructor(port: number) {
      this.client = new LineClient(connect(port, '127.0.0.1'), 20_000);
    }
    async reply(): Promise<string> {
      for (;;) {
        const line = (await this.client.line()) ?? 'closed';
        if (line[3] !== '-') return line;
      }
    }
    async say(line: string, wanted: RegExp): Promise<void> {
      this.client.raw(`${line}\r\n`);
      assert.match(await this.reply(), wanted, line.slice(0, 60));
    }
    async begin(hello: 'EHLO' | 'LHLO'): Promise<void> {
      assert.match(await this.reply(), /^220 /);
      await this.say(`${hello} test`, /^250 /);
    }
  }

  const body = `Subject: both\r\n\r\n..a dot\r\n${'0123456789'.repeat(7)}\r\n`.concat('x'.repeat(70).concat('\r\n').repeat(5_000));

  it('go from lmtp to a process of each user, with an outcome for each', async () => {
    const lmtp = new Sender(server.ports.lmtp);
    await lmtp.begin('LHLO');
    await lmtp.say('MAIL FROM:<s@example.com>', /^250 /);
    await lmtp.say('RCPT TO:<anna@localhost>', /^250 /);
    await lmtp.say('RCPT TO:<bert+detail@localhost>', /^250 /);
    await lmtp.say('RCPT TO:<nobody-here@localhost>', /^550 5\.1\.1 /);
    await lmtp.say('DATA', /^354 /);
    lmtp.client.raw(`${body}.\r\n`);
    assert.match(await lmtp.reply(), /^250 2\.0\.0 <anna@localhost> .* Saved/);
    assert.match(await lmtp.reply(), /^250 2\.0\.0 <bert\+detail@localhost> .* Saved/);
    await lmtp.say('QUIT', /^221 /);
    for (const [name, uid] of Object.entries(uids)) {
      const [message = ''] = messages(name);
      assert.equal(
        message.replaceAll('\r\n', '\n').split('\n\n').slice(1).join('\n\n'),
        body.replace('..a', '.a').replaceAll('\r\n', '\n').split('\n\n')[1],
      );
      assert.match(message, /^Return-Path: <s@example\.com>\r?\nDelivered-To: /);
      assert.equal(message.match(/^Received: /gm)?.length, 1);
      const [file = ''] = readdirSync(join(folder, name, 'Maildir', 'new'));
      assert.equal(statSync(join(folder, name, 'Maildir', 'new', file)).uid, uid);
    }
    assert.deepEqual((await processes('deliver')).map(({ pid }) => uidOf(pid)).sort(), [uids.anna, uids.bert]);
    for (const { pid } of await processes('lmtp')) assert.equal(uidOf(pid), nobodyUid);
    await server.logged(/lmtp\(anna\)<\d+><\S+>: Info: msgid=.*saved mail to INBOX/);
  });

  it('are refused for root, and for users of whom nobody says the uid', async () => {
    const lmtp = new Sender(server.ports.lmtp);
    await lmtp.begin('LHLO');
    await lmtp.say('MAIL FROM:<>', /^250 /);
    await lmtp.say('RCPT TO:<root@localhost>', /^451 /);
    await lmtp.say('RCPT TO:<noone@localhost>', /^451 /);
    await server.logged(/user root: mail access as root is not allowed/);
    await server.logged(/user noone: userdb did not return a uid, and mail_uid is not set/);
    lmtp.client.close();
  });

  it('go from smtp to all or none; many one after the other in one connection', async () => {
    const smtp = new Sender(server.ports.smtp);
    await smtp.begin('EHLO');
    const before = messages('bert').length;
    for (let count = 1; count <= 5; count += 1) {
      await smtp.say('MAIL FROM:<s@example.com> SIZE=200', /^250 /);
      await smtp.say('RCPT TO:<anna@localhost>', /^250 /);
      await smtp.say('RCPT TO:<bert@localhost>', /^250 /);
      await smtp.say('DATA', /^354 /);
      await smtp.say(`Subject: ${count}\r\n\r\ntext\r\n.`, /^250 2\.0\.0 /);
    }
    await smtp.say('QUIT', /^221 /);
    assert.equal(messages('bert').length, before + 5);
  });

  it('are not acknowledged when the process that delivers is killed before its answer', async () => {
    const smtp = new Sender(server.ports.smtp);
    await smtp.begin('EHLO');
    const before = messages('anna').length;
    await smtp.say('MAIL FROM:<s@example.com>', /^250 /);
    await smtp.say('RCPT TO:<anna@localhost>', /^250 /);
    await smtp.say('DATA', /^354 /);
    smtp.client.raw('Subject: lost\r\n\r\nhalf');
    for (const { pid } of await processes('deliver')) process.kill(pid, 'SIGKILL');
    await smtp.say('\r\n.', /^451 /);
    assert.equal(messages('anna').length, before);
    // The next one goes to a new process.
    await smtp.say('MAIL FROM:<s@example.com>', /^250 /);
    await smtp.say('RCPT TO:<anna@localhost>', /^250 /);
    await smtp.say('DATA', /^354 /);
    await smtp.say('Subject: kept\r\n\r\nwhole\r\n.', /^250 /);
    assert.equal(messages('anna').length, before + 1);
    await smtp.say('QUIT', /^221 /);
  });

  it('leave nothing behind when the client goes in the middle', async () => {
    const lmtp = new Sender(server.ports.lmtp);
    await lmtp.begin('LHLO');
    await lmtp.say('MAIL FROM:<>', /^250 /);
    await lmtp.say('RCPT TO:<bert@localhost>', /^250 /);
    await lmtp.say('DATA', /^354 /);
    const before = messages('bert').length;
    lmtp.client.raw('Subject: half\r\n\r\nhalf');
    lmtp.client.close();
    const tmp = join(folder, 'bert', 'Maildir', 'tmp');
    await until(
      () => readdirSync(tmp).length === 0,
      () => readdirSync(tmp).join(),
    );
    assert.equal(messages('bert').length, before);
  });

  it('are refused for now, politely, when the server is reloaded while they wait for a process', async () => {
    const pools = { deliver: { process_limit: 1, client_limit: 1 } };
    const users = Object.fromEntries(
      Object.entries(uids).map(([name, uid]) => [name, `{PLAIN}secret:${uid}:${uid}::${join(folder, name)}::`]),
    );
    await using busy = await startRoost({ protocols: ['smtp', 'lmtp'], users, pools, settings: { mail_uid: '', mail_gid: '' } });
    for (const protocol of ['smtp', 'lmtp'] as const) {
      const hello = protocol === 'smtp' ? 'EHLO' : 'LHLO';
      const first = new Sender(busy.ports[protocol]);
      await first.begin(hello);
      await first.say('MAIL FROM:<s@example.com>', /^250 /);
      await first.say('RCPT TO:<bert@localhost>', /^250 /);
      const second = new Sender(busy.ports[protocol]);
      await second.begin(hello);
      await second.say('MAIL FROM:<s@example.com>', /^250 /);
      second.client.raw('RCPT TO:<anna@localhost>\r\n');
      await waiting(busy, 'deliver');
      const reload = await busy.admin(['reload']);
      assert.equal(reload.code, 0, reload.stderr);
      assert.match(await second.reply(), /^451 4\.3\.0 <anna@localhost> /, protocol);
      assert.match(await second.reply(), /^421 4\.3\.2 /, protocol);
      first.client.close();
      second.client.close();
    }
  });

  const waiting = async (roost: RunningRoost, service: string): Promise<void> => {
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
      const reply = await askMaster(roost.baseDir, { command: 'service-status' }, { timeoutMs: patienceMs });
      if (reply.ok && reply.services?.some(({ name, waiting: count }) => name === service && count === 1) === true) return;
    }
    assert.fail(`nobody waits for ${service}`);
  };
});
