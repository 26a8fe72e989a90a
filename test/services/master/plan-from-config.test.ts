import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '#config/load.js';
import type { Accounts } from '#services/master/identity.js';
import type { ServerPlan, ServicePlan } from '#services/master/plan.js';
import { type PlanOptions, planServer } from '#services/master/plan-from-config.js';
import { settingsGroups } from '#services/registry.js';

const users: Readonly<Record<string, number>> = { dovecot: 103, dovenull: 104, vmail: 5000, nobody: 65_534 };
const accounts: Accounts = {
  findUser: (name) => {
    const uid = users[name] ?? (/^\d+$/.test(name) ? Number(name) : undefined);
    return uid === undefined ? undefined : { uid, gid: uid + 1 };
  },
  findGroup: (name) => users[name] ?? (/^\d+$/.test(name) ? Number(name) : undefined),
};

function plan(text: string, change: Partial<PlanOptions> = {}): ServerPlan {
  const folder = mkdtempSync(join(tmpdir(), 'roost-plan-'));
  const path = join(folder, 'roost.conf');
  try {
    writeFileSync(path, text);
    const config = loadConfig(path, { groups: settingsGroups, checksMachine: false });
    assert.deepEqual(
      config.problems.filter(({ severity }) => severity === 'error'),
      [],
    );
    return planServer(config, {
      accounts,
      isRoot: true,
      groups: settingsGroups,
      hasRole: () => true,
      hasSocket: () => false,
      isBackground: false,
      ...change,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const base = 'base_dir = /run/test\nprotocols = imap lmtp\nssl = no\nlisten = 127.0.0.1, ::1\npassdb {\n  driver = static\n}\n';

function service(of: ServerPlan, name: string): ServicePlan {
  const found = of.services.find((candidate) => candidate.name === name);
  assert.ok(found, name);
  return found;
}

describe('A plan', () => {
  it('opens each inet listener on each address, and names the setting', () => {
    const { listeners } = service(plan(base), 'imap-login');
    assert.deepEqual(
      listeners.map(({ key, isTls }) => [key, isTls]),
      [
        ['inet:127.0.0.1:143', false],
        ['inet:::1:143', false],
      ],
    );
    assert.match(listeners[0]?.setting ?? '', /^service imap-login \{ inet_listener imap \{ port \} \}/);
  });

  it('confines login processes, and runs them as default_login_user', () => {
    const { isConfined, identity } = service(plan(base), 'imap-login');
    assert.deepEqual([isConfined, identity], [true, { uid: 104, gid: 105 }]);
  });

  it('says that privileged_group has no effect, with its place', () => {
    const { notices } = plan(`${base}service lmtp {\n  privileged_group = mail\n}\n`);
    assert.equal(
      notices.filter((notice) => /:\d+: service\(lmtp\): privileged_group has no effect/.test(notice)).length,
      1,
      notices.join('\n'),
    );
    assert.deepEqual(
      plan(base).notices.filter((notice) => notice.includes('privileged_group')),
      [],
    );
  });

  it('confines the stats service, which listens nowhere unless told to', () => {
    const { isConfined, identity, listeners } = service(plan(base), 'stats');
    assert.deepEqual([isConfined, identity, listeners.length], [true, { uid: 104, gid: 105 }, 0]);
    const written = `${base}service stats {\n  unix_listener stats-writer {\n    mode = 0666\n  }\n  inet_listener http {\n    port = 9900\n  }\n}\n`;
    assert.deepEqual(
      service(plan(written), 'stats').listeners.map(({ key }) => key),
      ['inet:127.0.0.1:9900', 'inet:::1:9900'],
    );
  });

  it('caps client_limit by service_count', () => {
    const { limits } = service(plan(`${base}service imap {\n  service_count = 3\n  client_limit = 10\n}\n`), 'imap');
    assert.deepEqual([limits.serviceCount, limits.clientLimit], [3, 3]);
  });

  it('leaves out services of protocols that are not served', () => {
    assert.deepEqual(
      plan(base)
        .services.map(({ name }) => name)
        .filter((name) => /pop3|smtp/.test(name)),
      [],
    );
  });

  it('gives passdb blocks to auth, but never to a login process', () => {
    const of = plan(base);
    const needs = { settings: [], sections: ['passdb'] };
    assert.match(JSON.stringify(service(of, 'auth').settingsFor(needs, true)), /"kind":"passdb"/);
    assert.doesNotMatch(JSON.stringify(service(of, 'imap-login').settingsFor(needs, true)), /passdb/);
  });
});

describe('Private keys', () => {
  const text = base.replace('ssl = no', 'ssl = yes\nssl_cert = CERT\nssl_key = KEY\nssl_key_password = WORD');
  const needs = { settings: ['tls', 'imap'], sections: [] };
  const given = (of: ServerPlan, name: string): string => JSON.stringify(service(of, name).settingsFor(needs, true));

  it('go to processes where TLS ends', () => {
    const of = plan(text);
    assert.match(given(of, 'imap-login'), /"ssl_key":"KEY".*"ssl_key_password":"WORD"/);
    assert.match(given(of, 'imap'), /"ssl_cert":"CERT"/);
    for (const name of ['imap', 'lmtp', 'auth', 'anvil', 'imap-hibernate']) assert.doesNotMatch(given(of, name), /KEY|WORD/, name);
  });

  it('go to mail processes in direct mode, and to lmtp on the network', () => {
    const direct = 'mail_uid = vmail\nmail_gid = 5000\nservice imap {\n  inet_listener direct {\n    port = 1143\n  }\n}\n';
    const of = plan(`${text}${direct}service lmtp {\n  inet_listener lmtp {\n    port = 24\n  }\n}\n`);
    for (const name of ['imap', 'lmtp']) assert.match(given(of, name), /"ssl_key":"KEY"/, name);
    // Those that run as a user of their own do not listen.
    assert.doesNotMatch(JSON.stringify(service(of, 'imap').settingsFor(needs, false)), /KEY|WORD/);
  });
});

describe('TCP keep-alive', () => {
  const listener = (of: ServerPlan): number | undefined => service(of, 'imap-login').listeners[0]?.keepAliveMs;

  it('is 120 s, what the server says, or what the listener says', () => {
    assert.equal(listener(plan(base)), 120_000);
    assert.equal(listener(plan(`${base}tcp_keepalive = 60s\n`)), 60_000);
    const own = 'service imap-login {\n  inet_listener imap {\n    tcp_keepalive = 0\n  }\n}\n';
    assert.equal(listener(plan(`${base}tcp_keepalive = 60s\n${own}`)), 0);
  });
});

describe('Mail processes of a master that is root', () => {
  it('run as each user, and as the one of a static userdb where auth names none', () => {
    const of = plan(`${base}userdb {\n  driver = static\n  args = uid=vmail gid=5000 home=/mail/%u\n}\n`);
    const imap = service(of, 'imap');
    assert.deepEqual([imap.isPerUser, imap.identity, imap.limits.defaultKey], [true, undefined, '5000:5000']);
    assert.deepEqual(of.mailIdentity, { uid: 5000, gid: 5000 });
    assert.deepEqual(service(of, 'lmtp').identity, { uid: 5000, gid: 5000 });
  });

  it('take mail_uid and mail_gid before that', () => {
    const of = plan(`${base}mail_uid = 6000\nmail_gid = 6001\nuserdb {\n  driver = static\n  args = uid=vmail gid=5000\n}\n`);
    assert.deepEqual(of.mailIdentity, { uid: 6000, gid: 6001 });
  });

  it('are not prestarted while nobody says whom to run as; what takes messages then touches no mail', () => {
    const of = plan(`${base}service imap {\n  process_min_avail = 2\n}\n`);
    assert.equal(service(of, 'imap').limits.processMinAvail, 0);
    assert.ok(of.notices.some((notice) => notice.startsWith('service(imap): process_min_avail has no effect')));
    const [lmtp, deliver] = [service(of, 'lmtp'), service(of, 'deliver')];
    assert.deepEqual([lmtp.identity, lmtp.serves, lmtp.takesHandoffs], [{ uid: 103, gid: 103 }, 'named', false]);
    assert.deepEqual([deliver.isPerUser, deliver.serves, deliver.takesHandoffs, deliver.listeners.length], [true, 'own', true, 0]);
    assert.deepEqual(deliver.senders, { uid: 103, gid: 103 });
  });

  it('run as the user of the service block where there is one', () => {
    const imap = service(plan(`${base}service imap {\n  user = vmail\n}\n`), 'imap');
    assert.deepEqual([imap.isPerUser, imap.identity], [false, { uid: 5000, gid: 5001 }]);
  });

  it('reach auth-master and anvil by group', () => {
    const of = plan(base);
    const authMaster = service(of, 'auth').listeners.find(({ name }) => name === 'auth-master');
    assert.deepEqual([authMaster?.mode, authMaster?.gid], [0o660, 103]);
    assert.deepEqual(service(of, 'imap').extraGroups, [103]);
  });

  it('leave sockets as an administrator wrote them', () => {
    const of = plan(`${base}service auth {\n  unix_listener auth-master {\n    mode = 0600\n    user = vmail\n  }\n}\n`);
    const authMaster = service(of, 'auth').listeners.find(({ name }) => name === 'auth-master');
    assert.deepEqual([authMaster?.mode, authMaster?.uid], [0o600, 5000]);
  });
});

describe('Users that do not exist', () => {
  it('are replaced by nobody, with one notice', () => {
    const few: Accounts = {
      findUser: (name) => (name === 'nobody' ? { uid: 65_534, gid: 65_534 } : undefined),
      findGroup: () => undefined,
    };
    const of = plan(base, { accounts: few });
    assert.deepEqual(service(of, 'imap-login').identity, { uid: 65_534, gid: 65_534 });
    assert.equal(of.notices.filter((notice) => notice.includes('user dovenull does not exist')).length, 1);
  });
});

describe('A master that is not root', () => {
  it('runs everything as its own user, with one notice', () => {
    const of = plan(base, { isRoot: false });
    for (const { identity, isPerUser, extraGroups, listeners } of of.services) {
      assert.deepEqual([identity, isPerUser, extraGroups], [undefined, false, []]);
      for (const { uid, gid } of listeners) assert.deepEqual([uid, gid], [undefined, undefined]);
    }
    assert.equal(of.notices.filter((notice) => notice.includes('not started as root')).length, 1);
  });

  it('opens listeners of a mail service in direct mode, whose clients without login make room at the limit', () => {
    const of = plan(`${base}mail_uid = vmail\nmail_gid = vmail\nservice imap {\n  inet_listener imap {\n    port = 1143\n  }\n}\n`);
    const { listeners, limits } = service(of, 'imap');
    assert.deepEqual([listeners.map(({ port }) => port), limits.isLogin, limits.defaultKey], [[1143, 1143], true, '5000:5000']);
    assert.deepEqual(of.problems, []);
    assert.equal(service(plan(base), 'imap').limits.isLogin, false);
  });

  it('cannot run as root with direct mode for users with ids of their own, and says where and why', () => {
    const text = `${base}service imap {\n  inet_listener imap {\n    port = 1143\n  }\n}\n`;
    const [problem, ...others] = plan(text).problems;
    assert.deepEqual(others, []);
    assert.match(problem ?? '', /roost\.conf:\d+: service imap \{ inet_listener imap \}: .*mail_uid/);
    assert.deepEqual(plan(text, { isRoot: false }).problems, []);
  });
});
