import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defineSettings, string } from '#config/define.js';
import { generalSettings } from '#config/groups/general.js';
import { mailSettings } from '#config/groups/mail.js';
import { type PackedSettings, packSettings, unpackSettings } from '#config/pack.js';
import { definitionsOf } from '#config/resolve.js';
import type { SettingsSource } from '#config/settings-source.js';
import { findSimilar } from '#config/suggest.js';
import { parseSize, parseTime } from '#config/value.js';
import { load } from './support.js';

describe('A configuration with problems', () => {
  const table: readonly (readonly [text: string, expected: RegExp])[] = [
    ['auth_cache_ttl = 60', /^1: auth_cache_ttl: Time interval '60' is missing units \(add e\.g\. 's' for seconds\)/],
    ['auth_cache_ttl = 60 parsecs', /^1: auth_cache_ttl: Invalid time interval/],
    ['foo = bar', /^1: Unknown setting: foo$/],
    ['imap_idel_notify_interval = 1s', /^1: Unknown setting: imap_idel_notify_interval \(did you mean imap_idle_notify_interval\?\)/],
    ['shutdown_clients = 0', /^1: shutdown_clients: Invalid boolean value: 0 \(use yes or no\) \(write no\)/],
    ['ssl = maybe', /^1: ssl: Invalid value: maybe \(one of: no, yes, required\)/],
    ['ssl = requird', /did you mean required\?/],
    ['mail_max_keyword_length = x', /^1: mail_max_keyword_length: Invalid number x: /],
    ['default_vsz_limit = 1 Q', /Invalid size: 1 Q/],
    ['service imap {\n foo = 1\n}', /^2: Unknown setting: service \{ foo/],
    ['service imap {\n clientlimit = 1\n}', /did you mean client_limit\?/],
    [
      'service imap {\n inet_listener x {\n  prot = 1\n }\n}',
      /^3: Unknown setting: service \{ inet_listener \{ prot \(did you mean port\?\)/,
    ],
    ['service imap {\n foo {\n }\n}', /^2: Unknown setting: service \{ foo \{ foo/],
    ['service imap {\n inet_listener x {\n  port = 70000\n }\n}', /^3: port: Invalid port number 70000/],
    ['service {\n}', /^1: service section is missing name/],
    ['namesapce inbox {\n}', /^1: Unknown setting: namesapce \{ inbox \(did you mean namespace\?\)/],
    ['mailbox Sent {\n}', /^1: Section not allowed here: mailbox \(it belongs into namespace \{ \}\)/],
    ['passdb {\n auth_verbose = maybe\n driver = static\n}', /^2: auth_verbose: Invalid value/],
    ['client_limit = 5', /^1: Unknown setting: client_limit \(client_limit belongs into a service \{ \} block\)/],
    ['passdb {\n}', /^1: passdb is missing driver/],
    ['protocol imap {\n protocol pop3 {\n }\n}', /^2: Nested protocol \{ protocol \{ \.\. \} \} block not allowed/],
    [
      'remote 10.0.0.1 {\n local 10.0.0.2 {\n }\n}',
      /^2: remote \{ local \{ \.\. \} \} not allowed \(use local \{ remote \{ \.\. \} \} instead\)/,
    ],
    ['local 10.0.0.0/8 {\n local 11.0.0.1 {\n }\n}', /^2: local net1 \{ local net2 \{ \.\. \} \} requires net2 to be inside net1/],
    ['local mail.example {\n}', /^1: Invalid network: mail\.example/],
    ['local 10.0.0.1 {\n auth_verbose = yes\n}', /^2: Auth settings not supported inside local\/remote blocks: auth_verbose/],
    ['listen =', /^1: listen can't be set empty/],
    ['first_valid_uid = 10\nlast_valid_uid = 5', /^2: first_valid_uid can't be larger than last_valid_uid/],
    ['protocols = imap pop4', /^1: protocols: Unknown protocol: pop4 \(did you mean pop3\?\)/],
    ['dovecot_config_version = 2.4.0', /^1: Unknown setting: dovecot_config_version \(this is the dialect of Dovecot 2\.4/],
    ['__proto__ = x', /^1: Unknown setting: __proto__/],
    ['constructor = x\ntoString {\n}', /^1: Unknown setting: constructor/],
  ];
  for (const [text, expected] of table) {
    it(`says what is wrong with ${JSON.stringify(text)}`, (test) => {
      assert.match(load(test, text).errors.join('\n'), expected);
    });
  }

  it('has all of them reported in one run, in the order of the lines', (test) => {
    const { errors } = load(
      test,
      [
        'foo = bar',
        'auth_cache_ttl = 60',
        'service imap {',
        '  client_limt = 5',
        '  inet_listener imap {',
        '    ssl = perhaps',
        '  }',
        '}',
        'service imap-login {',
        '  process_min_avail = 5',
        '  process_limit = 3',
        '}',
        'protocols = imap smpt',
        'listen =',
        '!include nothing.conf',
        'ssl_cert = </nowhere/cert.pem',
        'protocol imap {',
      ].join('\n'),
    );
    assert.deepEqual(
      errors.map((text) => Number.parseInt(text, 10)),
      [1, 2, 4, 6, 10, 13, 14, 15, 16, 17],
    );
  });

  it('names what Dovecot knows and Roost lacks in one warning, with places', (test) => {
    const { errors, warnings } = load(
      test,
      [
        'mail_nfs_storage = yes',
        'mail_plugins = quota acl fts virtual',
        'director_servers = 10.0.0.1',
        'service doveadm {',
        '  inet_listener {',
        '    port = 12345',
        '  }',
        '}',
        'mmap_disable = no',
        'plugin {',
        '  quota = maildir:User',
        '}',
        'metric x {',
        '  filter = event=a',
        '}',
      ].join('\n'),
    );
    assert.deepEqual(errors, []);
    assert.equal(warnings.length, 1);
    for (const part of [
      'mail_nfs_storage (1)',
      'mail_plugins = fts (2)',
      'mail_plugins = virtual (2)',
      'director_servers (3)',
      'service doveadm (4)',
      'metric x { } (13)',
    ]) {
      assert.ok(warnings[0]?.includes(part), `${part} in ${warnings[0]}`);
    }
    // Their work is done without a plugin.
    for (const plugin of ['quota', 'acl']) assert.ok(!warnings[0]?.includes(`mail_plugins = ${plugin}`));
    // Equal to Dovecot's default: nothing is lost.
    assert.ok(!warnings[0]?.includes('mmap_disable'));
  });

  it('has obsolete names converted, with a warning', (test) => {
    const { config, warnings, errors } = load(test, 'ssl_protocols = !SSLv2 !SSLv3\nmail_executable = /x\n');
    assert.deepEqual(errors, []);
    assert.match(
      warnings[0] ?? '',
      /^1: Warning: Obsolete setting in a\.conf.*ssl_protocols has been replaced by ssl_min_protocol|ssl_protocols/,
    );
    assert.match(warnings[1] ?? '', /mail_executable has been replaced by service imap \{ executable \}/);
    assert.equal(config.layers[0]?.values.get('ssl_min_protocol')?.text, 'TLSv1');
  });

  it('is warned of a global setting after a filter that sets it', (test) => {
    const { warnings } = load(test, 'protocol imap {\n mail_debug = yes\n}\nmail_debug = no\n');
    assert.match(
      warnings.join(),
      /^4: Warning: Global setting mail_debug won't change the setting inside an earlier filter at a\.conf line 2 /,
    );
  });

  it('never makes the reader throw', (test) => {
    const line = fc.constantFrom(
      'service imap {',
      'service x {',
      '}',
      'protocol imap {',
      'local 10.0.0.0/8 {',
      'unix_listener a {',
      'inet_listener {',
      'namespace {',
      'mailbox x {',
      'client_limit = x',
      'client_limit = 3',
      'service_count = 0',
      'base_dir = 3',
      'listen =',
      'protocols = $protocols x',
      'default_client_limit = -1',
      'default_idle_kill = 1',
      'plugin {',
      '__proto__ = 1',
      'service/imap/x = 3',
      'a/b/c/d = 3',
      '/ = 3',
      'passdb {',
      'driver = pam',
      'ssl_ca_file = /nowhere',
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 25 }), (lines) => {
        load(test, lines.join('\n'));
      }),
      { numRuns: 200 },
    );
  });
});

describe('Suggestions', () => {
  it('find the nearest name, and none for a word unlike all', () => {
    const names = ['mail_location', 'mail_plugins', 'ssl_cert'];
    assert.equal(findSimilar('mail_loaction', names), 'mail_location');
    assert.equal(findSimilar('mail-plugin', names), 'mail_plugins');
    assert.equal(findSimilar('completely_else', names), undefined);
    assert.equal(findSimilar('x'.repeat(10_000), names), undefined);
  });
});

describe('Units', () => {
  const times: readonly (readonly [text: string, milliseconds: number | undefined])[] = [
    ['0', 0],
    ['30s', 30_000],
    ['30 secs', 30_000],
    ['2 mins', 120_000],
    ['2m', 120_000],
    ['1 hour', 3_600_000],
    ['1 week', 604_800_000],
    ['250 msecs', 250],
    ['70ms', 70],
    ['infinite', Number.POSITIVE_INFINITY],
    ['4294967295 secs', Number.POSITIVE_INFINITY],
    ['5', undefined],
    ['', undefined],
    ['-1s', undefined],
    ['1.5h', undefined],
    ['1 fortnight', undefined],
    ['99999999999999 weeks', undefined],
  ];
  for (const [text, expected] of times) {
    it(`of time: ${JSON.stringify(text)}`, () => {
      const parsed = parseTime(text);
      assert.equal(parsed.kind === 'value' ? parsed.value : undefined, expected);
    });
  }
  const sizes: readonly (readonly [text: string, octets: number | undefined])[] = [
    ['0', 0],
    ['5', 5],
    ['64k', 65_536],
    ['64 kB', 65_536],
    ['64KiB', 65_536],
    ['256 M', 268_435_456],
    ['1G', 2 ** 30],
    ['2T', 2 ** 41],
    ['10 B', 10],
    ['18446744073709551615 B', Number.POSITIVE_INFINITY],
    ['1.5M', undefined],
    ['M', undefined],
    ['', undefined],
    ['12 X', undefined],
  ];
  for (const [text, expected] of sizes) {
    it(`of size: ${JSON.stringify(text)}`, () => {
      const parsed = parseSize(text);
      assert.equal(parsed.kind === 'value' ? parsed.value : undefined, expected);
    });
  }
});

describe('Settings of a process', () => {
  const group = defineSettings('test', { instance_name: string('roost', 'x'), log_path: string('syslog', 'x') });
  const source = (test: Parameters<typeof load>[0], text: string, name: string, protocol = ''): SettingsSource => {
    const { config, errors } = load(test, text);
    assert.deepEqual(errors, []);
    const packed = packSettings(config, { name, protocol }, [generalSettings, group], ['namespace', 'plugin', 'passdb']);
    return unpackSettings(JSON.parse(JSON.stringify(packed)) as PackedSettings);
  };
  const text = [
    'instance_name = global',
    'local_name *.b.example {\n instance_name = name\n}',
    'remote 10.0.0.0/8 {\n instance_name = remote8\n protocol imap {\n instance_name = remote8-imap\n }\n}',
    'protocol imap {\n instance_name = imap\n}',
    'protocol !pop3 {\n instance_name = not-pop3\n}',
    'remote 10.1.0.0/16 {\n instance_name = remote16\n}',
    'local 192.0.2.1 {\n instance_name = local\n remote 10.2.0.0/16 {\n instance_name = local-remote\n }\n}',
    'local ::1 {\n instance_name = six\n}',
  ].join('\n');
  const table: readonly (readonly [
    service: string,
    protocol: string,
    facts: Parameters<SettingsSource['forConnection']>[0] | undefined,
    expected: string,
  ])[] = [
    ['pop3', 'pop3', undefined, 'global'],
    ['imap-login', 'imap', undefined, 'imap'],
    ['lmtp', 'lmtp', undefined, 'not-pop3'],
    ['pop3', 'pop3', { remoteIp: '10.3.0.1' }, 'remote8'],
    ['imap', 'imap', { remoteIp: '10.3.0.1' }, 'remote8-imap'],
    ['pop3', 'pop3', { remoteIp: '10.1.2.3' }, 'remote16'],
    ['pop3', 'pop3', { remoteIp: '::ffff:10.1.2.3' }, 'remote16'],
    ['pop3', 'pop3', { remoteIp: '10.1.2.3', localIp: '192.0.2.1' }, 'local'],
    ['pop3', 'pop3', { remoteIp: '10.2.2.3', localIp: '192.0.2.1' }, 'local-remote'],
    ['pop3', 'pop3', { remoteIp: '10.2.2.3', localIp: '192.0.2.1', localName: 'A.b.Example' }, 'name'],
    ['pop3', 'pop3', { localName: 'x.a.b.example' }, 'global'],
    ['pop3', 'pop3', { localIp: '0:0:0:0:0:0:0:1' }, 'six'],
    ['pop3', 'pop3', { remoteIp: '11.1.2.3' }, 'global'],
    ['auth', '', { protocol: 'imap' }, 'imap'],
    ['auth', '', { protocol: 'pop3', remoteIp: '10.1.1.1' }, 'remote16'],
    ['auth', '', undefined, 'global'],
  ];
  for (const [service, protocol, facts, expected] of table) {
    it(`of ${service} for ${JSON.stringify(facts)} come from ${expected}`, (test) => {
      const settings = source(test, text, service, protocol);
      assert.equal((facts === undefined ? settings : settings.forConnection(facts)).get(group).instance_name, expected);
    });
  }

  it('are typed, frozen, and the same object for the same blocks', (test) => {
    const settings = source(
      test,
      'default_vsz_limit = 1G\ndefault_idle_kill = 2 mins\nlisten = 127.0.0.1, ::1\nremote 10.0.0.0/8 {\n log_path = x\n}',
      'imap',
      'imap',
    );
    const general = settings.get(generalSettings);
    assert.equal(general.default_vsz_limit, 2 ** 30);
    assert.equal(general.default_idle_kill, 120_000);
    assert.deepEqual(general.listen, ['127.0.0.1', '::1']);
    assert.ok(Object.isFrozen(general) && Object.isFrozen(general.listen));
    assert.equal(settings.get(generalSettings), general);
    const inside = settings.forConnection({ remoteIp: '10.0.0.1' });
    assert.equal(settings.forConnection({ remoteIp: '10.255.0.9' }), inside);
    assert.notEqual(settings.forConnection({ remoteIp: '11.0.0.1' }), inside);
  });

  it('hold only what the role declares', (test) => {
    const { config } = load(test, 'ssl_key = secret\npassdb {\n driver = static\n args = password=secret\n}\nlog_path = x\n');
    const packed = packSettings(config, { name: 'imap-login', protocol: 'imap' }, [group], ['namespace']);
    assert.ok(!JSON.stringify(packed).includes('secret'));
    const settings = unpackSettings(packed);
    assert.throws(() => settings.get(mailSettings), /mail was not declared/);
    assert.throws(() => settings.sections('passdb'), /passdb were not declared/);
  });

  it('have blocks merged by name, and unnamed ones in order', (test) => {
    const settings = source(
      test,
      'namespace inbox {\n inbox = yes\n mailbox Sent {\n auto = create\n }\n}\nnamespace inbox {\n prefix = x\n mailbox Sent {\n special_use = \\Sent\n }\n}\n' +
        'passdb {\n driver = a\n}\npassdb {\n driver = b\n}\nprotocol imap {\n namespace inbox {\n hidden = yes\n }\n}\n',
      'imap',
      'imap',
    );
    const [inbox, ...others] = settings.sections('namespace');
    assert.deepEqual(others, []);
    assert.deepEqual(inbox?.values, { inbox: 'yes', prefix: 'x', hidden: 'yes' });
    assert.deepEqual(
      inbox?.sections.map(({ name, values }) => [name, values]),
      [['Sent', { auto: 'create', special_use: '\\Sent' }]],
    );
    assert.deepEqual(
      settings.sections('passdb').map(({ values }) => values['driver']),
      ['a', 'b'],
    );
  });

  it('have plugin values of the protocol over the global ones', (test) => {
    const settings = source(test, 'plugin {\n a = 1\n b = 2\n}\nprotocol imap {\n plugin {\n b = 3\n }\n}\n', 'imap', 'imap');
    assert.deepEqual([settings.plugin('a'), settings.plugin('b'), settings.plugin('toString')], ['1', '3', undefined]);
  });

  it('take the path form of a setting', (test) => {
    const settings = source(
      test,
      'plugin/a = b\nnamespace/inbox/inbox = yes\nnamespace/inbox/mailbox/Sent/auto = create\n',
      'imap',
      'imap',
    );
    assert.equal(settings.plugin('a'), 'b');
    assert.equal(settings.sections('namespace')[0]?.sections[0]?.values['auto'], 'create');
  });
});

describe('Settings groups', () => {
  it('may not declare one key in two ways', () => {
    const one = defineSettings('one', { a: string('x', 'doc') });
    assert.throws(
      () => definitionsOf([one, defineSettings('two', { a: string('y', 'doc') })]),
      /Setting a is declared twice and differently/,
    );
    assert.equal(definitionsOf([one, defineSettings('two', { a: string('x', 'other doc') })]).size, 1);
  });
});
