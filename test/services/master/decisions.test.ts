// Small decisions of the master that need no process: who runs as whom, what an exit means, what a child may say.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { childCommand, importedEnvironment } from '#services/master/child-command.js';
import { parseMessage } from '#services/master/child-messages.js';
import { parseRequest } from '#services/master/control-socket.js';
import { exitText } from '#services/master/exit-text.js';
import { pickIdentity } from '#services/master/router.js';

const megabyte = 1024 * 1024;

describe('The identity of a mail process', () => {
  const server = { mailIdentity: { uid: 5000, gid: 5000 }, validIds: { firstUid: 500, lastUid: 60_000, firstGid: 1, lastGid: 0 } };

  it('is what auth says, or else mail_uid and mail_gid', () => {
    assert.deepEqual(pickIdentity({ uid: 1000, gid: 1001 }, server), { uid: 1000, gid: 1001 });
    assert.deepEqual(pickIdentity({ uid: undefined, gid: undefined }, server), { uid: 5000, gid: 5000 });
  });

  for (const [uid, gid, reason] of [
    [0, 1000, 'mail access as root is not allowed'],
    [499, 1000, 'uid 499 is not permitted (first_valid_uid = 500, last_valid_uid = 60000)'],
    [60_001, 1000, 'uid 60001 is not permitted (first_valid_uid = 500, last_valid_uid = 60000)'],
    [1000, 0, 'gid 0 is not permitted (first_valid_gid = 1, last_valid_gid = 0)'],
  ] as const) {
    it(`is refused for ${uid}:${gid}, whoever asks`, () => {
      assert.equal(pickIdentity({ uid, gid }, server), reason);
    });
  }

  it('is refused when nobody says who', () => {
    const reason = pickIdentity({ uid: undefined, gid: 1 }, { ...server, mailIdentity: undefined });
    assert.equal(reason, 'userdb did not return a uid, and mail_uid is not set');
  });
});

describe('The line about a child that ended', () => {
  for (const [end, expected] of [
    [{ code: 0 }, undefined],
    [{ code: 89 }, 'service(imap): child 7 returned error 89 (Fatal failure)'],
    [{ code: 3 }, 'service(imap): child 7 returned error 3'],
    [
      { code: 83 },
      'service(imap): child 7 returned error 83 (Out of memory (service imap { vsz_limit=256 MB }, you may need to increase it))',
    ],
    [{ signal: 'SIGKILL' }, 'service(imap): child 7 killed with signal 9'],
    [{ signal: 'SIGSEGV' }, 'service(imap): child 7 killed with signal 11'],
    [{ signal: 'SIGABRT' }, 'service(imap): child 7 killed with signal 6'],
    [{ code: 134 }, 'service(imap): child 7 returned error 134'],
    [
      { signal: 'SIGABRT', isOutOfMemory: true },
      'service(imap): child 7 killed with signal 6 (Out of memory (service imap { vsz_limit=256 MB }, you may need to increase it))',
    ],
    [{ startError: new Error('spawn node EAGAIN') }, 'service(imap): fork() failed: spawn node EAGAIN'],
  ] as const) {
    it(`is ${expected ?? 'nothing'} for ${JSON.stringify(end)}`, () => {
      assert.equal(exitText('imap', 7, { code: undefined, signal: undefined, startError: undefined, ...end }, 256 * megabyte), expected);
    });
  }
});

describe('What a child says', () => {
  it('is taken when it has the right form', () => {
    const status = { kind: 'status', clients: 1, served: 2, isDraining: false, arrived: [3], left: [] };
    assert.deepEqual(parseMessage(status), { ...status, isIdleRefused: false, oldestPreAuthAtMs: undefined });
    const route = { kind: 'route', id: 1, service: 'imap', user: 'anna', uid: 5, gid: 6, takesLease: true };
    assert.deepEqual(parseMessage(route), route);
  });

  it('is left alone when the kind is not known', () => {
    assert.equal(parseMessage({ kind: 'news' }), undefined);
  });

  for (const wrong of [
    null,
    'status',
    { kind: 'status', clients: -1, served: 0, arrived: [], left: [] },
    { kind: 'status', clients: 1, served: 0, arrived: 'x', left: [] },
    { kind: 'status', clients: 1, served: 0, arrived: [1.5], left: [] },
    { kind: 'route', id: 1, service: 'imap', user: 'x'.repeat(1_025) },
    { kind: 'route', id: 1, service: 'imap', user: 'x', uid: '0' },
    { kind: 'route-failed', ticket: 2 ** 60, reason: '' },
  ]) {
    it(`is refused: ${JSON.stringify(wrong).slice(0, 80)}`, () => {
      assert.throws(() => parseMessage(wrong), TypeError);
    });
  }
});

describe('A request on the control socket', () => {
  it('has a known command and a list of names', () => {
    assert.deepEqual(parseRequest({ command: 'reload', more: 1 }), { command: 'reload' });
    assert.deepEqual(parseRequest({ command: 'service-stop', services: ['imap'] }), { command: 'service-stop', services: ['imap'] });
    assert.throws(() => parseRequest({ command: 'service-stop', services: 'imap' }), TypeError);
    assert.throws(() => parseRequest({ command: 'sleep' }), /unknown command "sleep"/);
    assert.throws(() => parseRequest(undefined), TypeError);
  });
});

describe('The environment of a child', () => {
  it('has only what import_environment names, and nothing that is meant for the master', () => {
    const environment = { TZ: 'UTC', HOME: '/root', NOTIFY_SOCKET: '/run/x', NODE_OPTIONS: '--inspect' };
    assert.deepEqual(importedEnvironment(['TZ', 'CORE_ERROR', 'A=b=c', 'NOTIFY_SOCKET', 'NODE_OPTIONS'], environment), {
      TZ: 'UTC',
      A: 'b=c',
    });
  });
});

describe('The options of a child', () => {
  const plan = {
    name: 'imap-login',
    role: 'imap-login',
    limits: { processLimit: 1, clientLimit: 1, serviceCount: 0, processMinAvail: 0, idleKillMs: 1, isLogin: true, defaultKey: '' },
    isLogin: true,
    takesHandoffs: false,
    isPerUser: false,
    identity: undefined,
    serves: 'all',
    senders: undefined,
    extraGroups: [],
    isConfined: true,
    vszLimitBytes: 256 * megabyte,
    threadPoolSize: 2,
    listeners: [],
    refusal: undefined,
    settingsFor: () => ({}),
    survivesReload: false,
  } as const;
  const command = childCommand({
    plan,
    server: { importEnvironment: [] },
    rolesFolder: '/opt/roost/dist/roles',
    identity: undefined,
    inheritedFds: [],
  });

  it('bound the heap to three quarters of vsz_limit', () => {
    assert.ok(command.nodeOptions.includes('--max-old-space-size=192'));
  });

  it('confine a login process to its code, and to what it may know of itself', () => {
    assert.ok(command.nodeOptions.some((option) => /^--(experimental-)?permission$/.test(option)));
    const readable = command.nodeOptions.filter((option) => option.startsWith('--allow-fs-read='));
    assert.ok(readable.includes('--allow-fs-read=/opt/roost/dist/roles/*'));
    assert.ok(
      readable.every((option) => /\/(roles|koffi|@koromix)\/\*$|=\/proc\/self\/(fd|limits)$/.test(option)),
      readable.join('\n'),
    );
    assert.ok(!command.nodeOptions.some((option) => /allow-fs-write|allow-child-process|allow-worker/.test(option)));
  });

  it('may follow the links that package managers make of module folders', () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'roost-links-')));
    try {
      const real = join(folder, 'store');
      const roles = join(folder, 'app', 'dist', 'roles');
      for (const name of ['koffi', '@koromix']) mkdirSync(join(real, name), { recursive: true });
      mkdirSync(roles, { recursive: true });
      symlinkSync(real, join(folder, 'app', 'node_modules'));
      // Of two links to the same place Node 20 may be told once only.
      symlinkSync(real, join(folder, 'node_modules'));
      const linked = childCommand({ plan, server: { importEnvironment: [] }, rolesFolder: roles, identity: undefined, inheritedFds: [] });
      const readable = linked.nodeOptions.filter((option) => option.startsWith('--allow-fs-read='));
      for (const path of [join(folder, 'app', 'node_modules'), join(real, 'koffi', '*'), join(real, '@koromix', '*')])
        assert.ok(readable.includes(`--allow-fs-read=${path}`), readable.join('\n'));
      assert.equal(new Set(readable).size, readable.length);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('set the thread pool', () => {
    assert.deepEqual(command.environment, { UV_THREADPOOL_SIZE: '2' });
  });
});
