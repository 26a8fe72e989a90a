import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { capacityRemarks, loadWarnings, reportLimits } from '#config/limits.js';
import { type ServiceSettings, serviceSettings } from '#config/service-settings.js';
import { load } from './support.js';

function service(test: Parameters<typeof load>[0], text: string, name: string): ServiceSettings {
  const { config, errors } = load(test, text);
  assert.deepEqual(errors, []);
  const found = serviceSettings(config).find((candidate) => candidate.name === name);
  assert.ok(found);
  return found;
}

describe('Effective limits of a service', () => {
  const infinite = Number.POSITIVE_INFINITY;
  const table: readonly (readonly [block: string, name: string, clientLimit: number, processLimit: number, serviceCount: number])[] = [
    ['', 'imap-login', 1000, 16, infinite],
    ['service imap-login {\n service_count = 1\n}', 'imap-login', 1, 100, 1],
    ['service imap-login {\n service_count = 0\n process_limit = 1\n}', 'imap-login', 1000, 1, infinite],
    ['service imap-login {\n service_count = unlimited\n}', 'imap-login', 1000, 100, infinite],
    ['service imap-login {\n restart_request_count = unlimited\n}', 'imap-login', 1000, 100, infinite],
    ['service imap-login {\n restart_request_count = 7\n}', 'imap-login', 7, 100, 7],
    ['service imap {\n service_count = 1\n}', 'imap', 1, 1024, 1],
    ['service imap-login {\n service_count = 1\n process_limit = 1\n}', 'imap-login', 1, 1, 1],
    ['service imap {\n client_limit = 5\n service_count = 2\n process_limit = 2\n}', 'imap', 2, 2, 2],
    ['service imap {\n client_limit = 0\n process_limit = 0\n}', 'imap', 1000, 100, infinite],
    [
      'default_client_limit = 77\ndefault_process_limit = 9\nservice imap {\n client_limit = 0\n process_limit = 0\n}',
      'imap',
      77,
      9,
      infinite,
    ],
    ['service imap {\n client_limit = 1\n}\nservice imap {\n process_limit = 3\n}', 'imap', 1, 3, infinite],
  ];
  for (const [block, name, clientLimit, processLimit, serviceCount] of table) {
    it(`follow from ${JSON.stringify(block)}`, (test) => {
      const found = service(test, block, name);
      assert.deepEqual([found.clientLimit, found.processLimit, found.serviceCount], [clientLimit, processLimit, serviceCount]);
    });
  }

  it('have defaults for time and memory', (test) => {
    const found = service(test, 'default_idle_kill = 5 mins\ndefault_vsz_limit = 1G\nservice pop3 {\n vsz_limit = 0\n}\n', 'imap');
    assert.deepEqual([found.idleKillMs, found.vszLimit], [300_000, 2 ** 30]);
    assert.equal(service(test, 'service pop3 {\n vsz_limit = 0\n}\n', 'pop3').vszLimit, infinite);
    assert.equal(
      service(test, 'service imap {\n vsz_limit = $default_vsz_limit\n idle_kill = 4294967295 secs\n}', 'imap').vszLimit,
      256 * 1024 * 1024,
    );
    assert.equal(service(test, '', 'anvil').idleKillMs, infinite);
  });
});

describe('Listeners of a service', () => {
  it('merge with the stock ones by name, and add others', (test) => {
    const found = service(
      test,
      'base_dir = /b\nlisten = 127.0.0.1\nservice imap-login {\n inet_listener imap {\n port = 1143\n }\n inet_listener imaps {\n port = 0\n }\n' +
        ' inet_listener extra {\n port = 2143\n address = 10.0.0.1, 10.0.0.2\n ssl = yes\n haproxy = yes\n }\n}\n',
      'imap-login',
    );
    assert.deepEqual(
      found.inetListeners.map(({ name, port, addresses, isTls, haproxy }) => [name, port, addresses, isTls, haproxy]),
      [
        ['imap', 1143, ['127.0.0.1'], false, false],
        ['extra', 2143, ['10.0.0.1', '10.0.0.2'], true, true],
      ],
    );
    assert.equal(found.user, 'dovenull');
    assert.equal(found.chroot, '/b/login');
  });

  it('on UNIX paths have mode, owner and group; mode 0 closes one', (test) => {
    const found = service(
      test,
      'base_dir = /b\nservice auth {\n unix_listener /var/spool/postfix/private/auth {\n mode = 0660\n user = postfix\n group = postfix\n }\n' +
        ' unix_listener auth-userdb {\n mode = 0\n }\n}\n',
      'auth',
    );
    const own = found.unixListeners.find(({ name }) => name.startsWith('/var'));
    assert.deepEqual([own?.path, own?.mode, own?.user, own?.group], ['/var/spool/postfix/private/auth', 0o660, 'postfix', 'postfix']);
    assert.equal(
      found.unixListeners.some(({ name }) => name === 'auth-userdb'),
      false,
    );
    assert.equal(found.unixListeners.find(({ name }) => name === 'auth-client')?.path, '/b/auth-client');
  });

  it('with TLS are dropped when ssl = no', (test) => {
    assert.deepEqual(
      service(test, 'ssl = no', 'imap-login').inetListeners.map(({ name }) => name),
      ['imap'],
    );
  });

  it('belong to services of listed protocols only', (test) => {
    const { config } = load(test, 'protocols = imap smtp');
    const enabled = serviceSettings(config).filter(({ isEnabled }) => isEnabled);
    assert.deepEqual(
      enabled.map(({ name }) => name),
      ['anvil', 'auth', 'deliver', 'imap', 'imap-hibernate', 'imap-login', 'smtp', 'stats'],
    );
  });
});

describe('Start-up checks', () => {
  const table: readonly (readonly [text: string, expected: RegExp])[] = [
    [
      'service imap {\n process_min_avail = 5\n process_limit = 3\n}',
      /^2: service\(imap\): process_min_avail is higher than process_limit/,
    ],
    ['service imap {\n vsz_limit = 100k\n}', /^2: service\(imap\): vsz_limit is too low/],
    ['service anvil {\n process_limit = 2\n}', /^2: service\(anvil\): process_limit must be 1/],
    ['service auth {\n process_limit = 2\n}', /^2: service\(auth\): process_limit must be 1/],
    ['service imap-login {\n drop_priv_before_exec = yes\n}', /drop_priv_before_exec=yes can't be used with chroot/],
    ['service imap-login {\n type = lgoin\n}', /^2: type: Invalid value: lgoin \(did you mean login\?\)/],
    ['service imap-login {\n inet_listener a {\n port = 143\n }\n}', /duplicate listener: \*:143/],
    ['service imap {\n unix_listener lmtp {\n }\n}', /duplicate listener: \/run\/roost\/lmtp/],
    ['service auth {\n unix_listener {\n }\n}', /^2: service\(auth\): unix_listener: path must not be empty/],
    ['service auth {\n unix_listener /run/roost/x {\n }\n}', /You should remove base_dir prefix from unix_listener: \/run\/roost\/x/],
    ['service imap {\n fifo_listener x {\n }\n}', /fifo_listener is not supported/],
    ['service post {\n executable = script-login /x.sh\n}', /^2: service\(post\): scripts are not supported yet/],
    ['service post {\n executable = imapp\n}', /^2: service\(post\): unknown executable: imapp \(did you mean imap\?\)/],
  ];
  for (const [text, expected] of table) {
    it(`refuse ${JSON.stringify(text)}`, (test) => {
      assert.match(load(test, text).errors.join('\n'), expected);
    });
  }

  it('let a second service run a known role', (test) => {
    const found = service(
      test,
      'service imap-inside {\n executable = imap-login\n protocol = imap\n inet_listener x {\n port = 1144\n }\n}',
      'imap-inside',
    );
    assert.equal(found.role, 'imap-login');
    assert.ok(found.isEnabled);
  });

  it('warn of an auth service with too little room for its callers', (test) => {
    const { warnings } = load(
      test,
      'protocols = imap\nservice auth {\n client_limit = 10\n}\nservice imap-login {\n process_limit = 16\n}',
    );
    assert.match(
      warnings.join('\n'),
      /^3: Warning: service auth \{ client_limit=10 \} is lower than required under max\. load \(48\)\. Counted for protocol services with service_count != 1: service imap \{ process_limit=32 \} \+ service imap-login \{ process_limit=16 \}/m,
    );
  });
});

describe('Explained limits', () => {
  const reports = (test: Parameters<typeof load>[0], text: string, files = 100_000) => {
    const services = serviceSettings(load(test, text).config);
    return { services, reports: reportLimits(services, files) };
  };

  it('have nothing to object to in the shipped defaults', (test) => {
    const { services, reports: all } = reports(test, 'protocols = imap pop3 lmtp smtp');
    assert.deepEqual(
      all.flatMap(({ remarks }) => remarks),
      [],
    );
    assert.deepEqual(loadWarnings(services, 100_000), []);
    assert.deepEqual(capacityRemarks(services), []);
  });

  it('multiply processes and clients', (test) => {
    const imap = reports(
      test,
      'service imap {\n client_limit = 5\n service_count = 2\n process_limit = 2\n vsz_limit = 100 M\n}',
    ).reports.find((report) => report.service === 'imap');
    assert.equal(imap?.maxConnections, 4);
    assert.equal(imap?.memoryBound, 2 * 100 * 1024 * 1024);
    assert.match(imap?.remarks.join() ?? '', /service_count = 2 caps client_limit = 5 at 2/);
  });

  it('say how connections are kept apart', (test) => {
    const isolation = (text: string) => reports(test, text).reports.find((report) => report.service === 'imap')?.isolation;
    assert.match(isolation('service imap {\n client_limit = 1\n service_count = 1\n}') ?? '', /a process of its own/);
    assert.match(isolation('service imap {\n client_limit = 1\n}') ?? '', /one connection at a time/);
    assert.match(isolation('') ?? '', /up to 500 connections share a process/);
    assert.doesNotMatch(isolation('') ?? '', /direct/);
    assert.match(isolation('service imap {\n inet_listener imaps {\n port = 993\n }\n}') ?? '', /up to 500 connections .*; direct mode: /);
  });

  it('find limits of files and memory that are too low', (test) => {
    const remarks = reports(test, 'service imap {\n client_limit = 5000\n vsz_limit = 80 M\n}', 1024)
      .reports.find(({ service: name }) => name === 'imap')
      ?.remarks.join('\n');
    assert.match(remarks ?? '', /vsz_limit leaves 6 KB for each of 5000 clients/);
    assert.match(remarks ?? '', /needs 5040 open files, the limit \(ulimit -n\) is 1024/);
    const { services } = reports(test, 'protocols = lmtp', 100);
    assert.match(
      loadWarnings(services, 100)
        .map(({ message }) => message)
        .join(),
      /fd limit \(ulimit -n\) is lower than required under max\. load \(100 < 4096\)/,
    );
  });
});
