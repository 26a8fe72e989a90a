// Who runs as whom and who knows what, of a whole server, by /proc: ids, groups, capabilities, and the memory of its processes.
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { askMaster, type ProcessStatusRow } from '#ipc/master-client.js';
import { testCertificate } from '../service-kit/test-certificate.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { nobodyUid, type RunningRoost, rootMailUid, startRoost } from '../support/running-roost.js';

const isRoot = process.getuid?.() === 0;
const otherUid = 20_002;
const keyMark = 'mark-of-the-private-key';
const databaseMark = 'mark-of-the-password-database';

interface Identity {
  readonly uids: string;
  readonly gids: string;
  readonly groups: readonly number[];
  readonly capabilities: string;
}

function identityOf(pid: number): Identity {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1] ?? '';
  const numbers = (name: string): string => field(name).replace(/\s+/g, ' ');
  const groups = field('Groups')
    .split(/\s+/)
    .filter((group) => group !== '');
  return { uids: numbers('Uid'), gids: numbers('Gid'), groups: groups.map(Number), capabilities: `${field('CapEff')} ${field('CapPrm')}` };
}

/** Is the text anywhere in the memory that a process has written? */
function knows(pid: number, text: string): boolean {
  const mark = Buffer.from(text);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
      const [, from = '0', to = '0'] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (contains(memory, Number.parseInt(from, 16), Number.parseInt(to, 16), mark)) return true;
    }
    return false;
  } finally {
    closeSync(memory);
  }
}

const stepBytes = 4 * 1024 * 1024;

function contains(memory: number, from: number, to: number, mark: Buffer): boolean {
  const chunk = Buffer.alloc(stepBytes);
  for (let at = from; at < to; at += stepBytes - mark.length) {
    let count: number;
    try {
      count = readSync(memory, chunk, 0, Math.min(stepBytes, to - at), at);
    } catch {
      // Pages that cannot be read: guard pages, or gone by now.
      continue;
    }
    if (chunk.subarray(0, count).includes(mark)) return true;
  }
  return false;
}

describe('A server that root has started', { skip: isRoot ? false : 'only root can change users' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-separation-'));
  let server: RunningRoost;
  let rows: readonly ProcessStatusRow[] = [];
  const clients: LineClient[] = [];
  const row = (service: string, which: (row: ProcessStatusRow) => boolean = () => true): ProcessStatusRow => {
    const found = rows.find((candidate) => candidate.service === service && which(candidate));
    assert.ok(found, service);
    return found;
  };
  const login = async (user: string): Promise<void> => {
    const client = new LineClient(connect(server.ports.imap, '127.0.0.1'), 20_000);
    clients.push(client);
    await client.line();
    await client.ok(`LOGIN ${user} secret`);
    await client.ok('SELECT INBOX');
  };

  before(async () => {
    chmodSync(folder, 0o755);
    for (const [user, uid] of [
      ['alice', rootMailUid],
      ['carol', otherUid],
    ] as const) {
      mkdirSync(join(folder, user), { mode: 0o700 });
      chownSync(join(folder, user), uid, uid);
    }
    writeFileSync(join(folder, 'key.pem'), `${keyMark}\n${testCertificate.key}`, { mode: 0o600 });
    writeFileSync(join(folder, databaseMark), `nobody:{PLAIN}x::::::\n`, { mode: 0o644 });
    server = await startRoost({
      users: { alice: 'secret', carol: `{PLAIN}secret:${otherUid}:${otherUid}::::` },
      mailLocation: `maildir:${folder}/%u`,
      settings: { ssl_key: `<${join(folder, 'key.pem')}` },
      extra: `passdb {\n  driver = passwd-file\n  args = ${join(folder, databaseMark)}\n}\n`,
      pools: { imap: { process_limit: 4 }, lmtp: { process_min_avail: 1 }, smtp: { process_min_avail: 1 } },
    });
    await login('alice');
    await login('carol');
    const reply = await askMaster(server.baseDir, { command: 'process-status', services: [] }, { timeoutMs: patienceMs });
    rows = reply.ok ? (reply.processes ?? []) : [];
  });
  after(async () => {
    for (const client of clients) client.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  for (const [service, uid] of [
    ['imap-login', nobodyUid],
    ['pop3-login', nobodyUid],
    ['auth', nobodyUid],
    ['anvil', nobodyUid],
    ['lmtp', rootMailUid],
    ['smtp', rootMailUid],
  ] as const) {
    it(`runs ${service} as ${uid} in every respect, without capabilities`, () => {
      const { uids, capabilities } = identityOf(row(service).pid);
      assert.equal(uids, Array(4).fill(uid).join(' '));
      assert.equal(capabilities, '0000000000000000 0000000000000000');
    });
  }

  it('runs imap as the user whose mail it is, with another process for another user', () => {
    const identities = rows.filter(({ service }) => service === 'imap').map(({ pid }) => identityOf(pid));
    assert.deepEqual(identities.map(({ uids }) => uids).sort(), [Array(4).fill(rootMailUid).join(' '), Array(4).fill(otherUid).join(' ')]);
    for (const { capabilities, groups } of identities) {
      assert.equal(capabilities, '0000000000000000 0000000000000000');
      assert.ok(!groups.includes(0), groups.join());
    }
    assert.equal(statSync(join(folder, 'carol', 'cur')).uid, otherUid);
  });

  it('gives login processes no group but their own', () => {
    const { gids, groups } = identityOf(row('imap-login').pid);
    const [gid] = gids.split(/\s+/).map(Number);
    assert.deepEqual(
      groups.filter((group) => group !== gid),
      [],
    );
  });

  it('has the private key in the memory of processes that speak TLS, and of no other', () => {
    assert.equal(knows(row('imap-login').pid, keyMark), true, 'the search finds what is there');
    for (const { service, pid } of rows.filter((candidate) => !['imap-login', 'pop3-login', 'smtp', 'lmtp'].includes(candidate.service)))
      assert.equal(knows(pid, keyMark), false, service);
  });

  it('has passwords and where they are in the memory of auth, and of no other', () => {
    assert.equal(knows(row('auth').pid, databaseMark), true, 'the search finds what is there');
    for (const { service, pid } of rows.filter((candidate) => candidate.service !== 'auth'))
      assert.equal(knows(pid, databaseMark), false, service);
  });
});

describe('A server that a normal user has started', () => {
  it('runs everything as that user, and says so once', async () => {
    await using server = await startRoost({ protocols: ['imap'], isUnprivileged: true });
    const client = new LineClient(connect(server.ports.imap, '127.0.0.1'), 20_000);
    await client.line();
    await client.ok('LOGIN alice secret');
    const reply = await askMaster(server.baseDir, { command: 'process-status', services: [] }, { timeoutMs: patienceMs });
    assert.ok(reply.ok && reply.processes !== undefined);
    const own = identityOf(server.pid).uids;
    for (const { pid, service } of reply.processes) assert.equal(identityOf(pid).uids, own, service);
    assert.equal(server.log.match(/not started as root/g)?.length, 1);
    client.close();
  });
});
