// Processes that run as the users they serve, as copies of a template of root's: who they are, and what they have of it.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { askMaster, type MasterReply, type ProcessStatusRow } from '#ipc/master-client.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { nobodyUid, type RunningRoost, startRoost } from '../support/running-roost.js';

const uids = { anna: 20_021, bert: 20_022 } as const;
type User = keyof typeof uids;

function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, 'latin1');
}

function fieldOf(pid: number, name: string): string {
  return new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(statusOf(pid))?.[1]?.trim().replace(/\s+/g, ' ') ?? '';
}

/** Pipes, sockets and event counters that the process holds open, each by a name that no other has. */
function openOf(pid: number): ReadonlySet<string> {
  const names = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    const name = readlinkSync(`/proc/${pid}/fd/${fd}`);
    return name === 'anon_inode:[eventfd]' ? /^eventfd-id:.*$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))?.[0] : name;
  });
  return new Set(names.filter((name) => name !== undefined && !name.startsWith('anon_inode:') && name !== '/dev/null')) as Set<string>;
}

describe('Users with uids of their own, each session in a process', {
  skip: process.getuid?.() === 0 ? false : 'only root can change users',
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-copies-'));
  let server: RunningRoost;
  const clients: LineClient[] = [];

  const start = (hasTemplates: boolean): Promise<RunningRoost> =>
    startRoost({
      protocols: ['imap'],
      users: Object.fromEntries(Object.entries(uids).map(([name, uid]) => [name, `{PLAIN}secret:${uid}:${uid}::${join(folder, name)}::`])),
      pools: { imap: { service_count: 1, client_limit: 1, process_limit: 20 } },
      settings: { mail_uid: '', mail_gid: '', process_templates: hasTemplates ? 'yes' : 'no' },
    });

  before(async () => {
    chmodSync(folder, 0o755);
    for (const [name, uid] of Object.entries(uids)) {
      mkdirSync(join(folder, name), { mode: 0o700 });
      chownSync(join(folder, name), uid, uid);
    }
    server = await start(true);
    // The first session starts the template.
    await logIn(server, 'anna');
    for (const deadline = Date.now() + patienceMs; !(await templates()).some(({ isReady }) => isReady); ) assert.ok(Date.now() < deadline);
  });
  after(async () => {
    for (const client of clients) client.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  const ask = async (from: RunningRoost): Promise<Extract<MasterReply, { ok: true }>> => {
    const reply = await askMaster(from.baseDir, { command: 'process-status', services: ['imap'] }, { timeoutMs: patienceMs });
    assert.ok(reply.ok);
    return reply;
  };
  const templates = async () => (await ask(server)).templates ?? [];
  const processOf = async (from: RunningRoost, user: User): Promise<ProcessStatusRow> => {
    const rows = (await ask(from)).processes ?? [];
    const row = rows.findLast(({ identity, clients: count }) => identity === `${uids[user]}:${uids[user]}` && count === 1);
    assert.ok(row !== undefined, JSON.stringify(rows));
    return row;
  };
  const logIn = async (from: RunningRoost, user: User): Promise<LineClient> => {
    const client = new LineClient(connect(from.ports.imap, '127.0.0.1'), 20_000);
    clients.push(client);
    await client.line();
    await client.ok(`LOGIN ${user} secret`);
    return client;
  };

  it('are served by copies of one template, each as its user and with nothing of root', async () => {
    const [template] = await templates();
    assert.ok(template !== undefined);
    assert.equal(fieldOf(template.pid, 'Uid'), '0 0 0 0');
    for (const [name, uid] of Object.entries(uids)) {
      const client = await logIn(server, name as User);
      await client.ok('SELECT INBOX');
      const { pid } = await processOf(server, name as User);
      assert.equal(fieldOf(pid, 'PPid'), String(template.pid), 'it is a copy');
      assert.equal(fieldOf(pid, 'Uid'), `${uid} ${uid} ${uid} ${uid}`);
      assert.equal(fieldOf(pid, 'Gid'), `${uid} ${uid} ${uid} ${uid}`);
      // extra_groups; root's own, of which there may be more, are gone.
      assert.equal(fieldOf(pid, 'Groups'), String(nobodyUid));
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) assert.match(fieldOf(pid, set), /^0+$/, set);
      client.raw('x APPEND INBOX {15+}\r\nSubject: a\r\n\r\nb\r\n');
      let line = await client.line();
      while (line !== undefined && !line.startsWith('x ')) line = await client.line();
      assert.match(line ?? '', /^x OK/);
      const maildir = join(folder, name, 'Maildir');
      for (const file of readdirSync(maildir)) assert.equal(statSync(join(maildir, file)).uid, uid, file);
    }
  });

  it('have nothing open that their template has, or the process of another user', async () => {
    for (const user of ['anna', 'bert'] as const) await (await logIn(server, user)).ok('SELECT INBOX');
    const [template] = await templates();
    const pids = [template?.pid ?? 0, (await processOf(server, 'anna')).pid, (await processOf(server, 'bert')).pid];
    for (const pid of pids) {
      const own = openOf(pid);
      assert.ok(own.size > 5, [...own].join(' '));
      for (const other of pids) {
        if (other === pid) continue;
        const shared = [...openOf(other)].filter((name) => own.has(name));
        assert.deepEqual(shared, [], `${pid} and ${other} of ${pids.join(' ')}`);
      }
    }
  });

  it('are shown beside their template by roostadm process status', async () => {
    const client = await logIn(server, 'anna');
    const { stdout } = await server.admin(['process', 'status', 'imap']);
    const [template] = await templates();
    assert.ok(template !== undefined && template.copies >= 2);
    const row = stdout.split('\n').find((line) => line.includes(String(template.pid)));
    assert.match(row ?? '', new RegExp(`^imap +${template.pid} +0 +${template.copies} +0 +.* template +\\d+`));
    assert.ok(template.rssBytes > 10_000_000);
    assert.match(stdout, new RegExp(`${uids.anna}:${uids.anna}`));
    client.close();
  });
});
