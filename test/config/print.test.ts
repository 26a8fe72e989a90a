import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { findItems, formatValue, type PrintOptions, printedItems, printItems } from '#config/print.js';
import type { ConfigBlock, ResolvedConfig } from '#config/resolve.js';
import { serviceSettings } from '#config/service-settings.js';
import { load, parse } from './support.js';

const changed: PrintOptions = { mode: 'changed', showsSecrets: true };
const all: PrintOptions = { mode: 'all', showsSecrets: true };

/** Effective settings without places. */
function meaning(config: ResolvedConfig): unknown {
  const block = ({ kind, name, values, blocks }: ConfigBlock): unknown => [kind, name, texts(values), blocks.map(block)];
  const texts = (values: ConfigBlock['values']) => Object.fromEntries([...values].map(([key, { text }]) => [key, text] as const).sort());
  const defaults = Object.fromEntries([...config.definitions].map(([key, { defaultText }]) => [key, defaultText]));
  return {
    layers: config.layers.map(({ filter, values, blocks }, index) => [
      filter,
      index === 0 ? { ...defaults, ...texts(values) } : texts(values),
      blocks
        .filter(
          ({ kind, values: own, blocks: inner }) => kind !== 'service' && !(kind === 'plugin' && own.size === 0 && inner.length === 0),
        )
        .map(block)
        .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    ]),
    services: serviceSettings(config).map(({ written: _, place: __, unixListeners, inetListeners, ...service }) => ({
      ...service,
      unixListeners: unixListeners.map(({ place: ___, ...listener }) => listener).sort((a, b) => a.path.localeCompare(b.path)),
      inetListeners: inetListeners.map(({ place: ___, ...listener }) => listener).sort((a, b) => a.name.localeCompare(b.name)),
    })),
  };
}

/** For `-a`, block values that are written out although nobody set them are defaults. */
function assertReadsBack(test: Parameters<typeof load>[0], text: string): void {
  const first = load(test, text);
  assert.deepEqual(first.errors, []);
  const printed = printItems(printedItems(first.config, changed));
  const second = load(test, printed);
  assert.deepEqual(second.errors, [], printed);
  assert.deepEqual(meaning(second.config), meaning(first.config), printed);
  const full = printItems(printedItems(first.config, all));
  const third = load(test, full);
  assert.deepEqual(third.errors, [], full);
  assert.equal(printItems(printedItems(third.config, all)), full);
  assert.deepEqual((meaning(third.config) as { services: unknown }).services, (meaning(first.config) as { services: unknown }).services);
}

describe('Printed settings', () => {
  it('read back as the same value, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', ' ', '#', '"', "'", '\\', '$', '<', '{', '}', '=', '%', 'é', '\t', '!') }),
        (value) => {
          const { nodes, problems } = parse(`key = ${formatValue(value)}`);
          assert.deepEqual(problems, []);
          assert.equal(nodes[0]?.kind === 'setting' ? nodes[0].text : undefined, value);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('of a whole configuration read back as the same settings', (test) => {
    assertReadsBack(
      test,
      [
        'base_dir = /tmp/x y',
        'login_greeting = "  # hello "',
        'mail_location = maildir:~/Maildir:LAYOUT=fs',
        'protocols = imap lmtp smtp',
        'listen = 127.0.0.1',
        'mail_nfs_index = yes',
        'passdb {\n driver = passwd-file\n args = scheme=plain /etc/p\n}\npassdb {\n driver = static\n args = "$ALL"\n}\nuserdb {\n driver = static\n}',
        'namespace inbox {\n inbox = yes\n mailbox "Sent Messages" {\n special_use = \\Sent\n }\n mailbox a"b {\n auto = create\n }\n}',
        'service imap {\n client_limit = 5\n vsz_limit = $default_vsz_limit\n unix_listener extra {\n mode = 0660\n }\n}',
        'service imap-login {\n inet_listener imap {\n port = 1143\n }\n inet_listener other {\n port = 1144\n }\n}',
        'service auth {\n unix_listener /x/auth {\n }\n user = root\n}',
        'plugin {\n a = b # c\n quota_rule = *:storage=1G\n}',
        'protocol imap {\n mail_max_userip_connections = 20\n plugin {\n a = d\n }\n}',
        'local 10.0.0.0/8 {\n remote 192.0.2.0/24 {\n protocol !imap {\n ssl = required\n }\n }\n}',
        'local_name "a.example b.example" {\n ssl = no\n}',
      ].join('\n'),
    );
  });

  const line = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('login_greeting', 'log_path', 'mail_location', 'base_dir'),
        fc.string({ unit: fc.constantFrom('a', ' ', '#', '"', '\\', '$', "'") }),
      )
      .map(([key, value]) => `${key} = ${formatValue(value)}`),
    fc
      .tuple(
        fc.constantFrom('imap', 'pop3-login', 'auth', 'lmtp'),
        fc.constantFrom('client_limit', 'vsz_limit', 'service_count'),
        fc.constantFrom('0', '2000000', '2500000'),
      )
      .map(([name, key, value]) => `service ${name} {\n ${key} = ${value}\n}`),
    fc
      .tuple(fc.constantFrom('imap', '!pop3'), fc.constantFrom('yes', 'no'))
      .map(([name, value]) => `protocol ${name} {\n mail_debug = ${value}\n}`),
    fc.constantFrom(
      'namespace {\n inbox = yes\n}',
      'namespace a {\n prefix = a/\n}',
      'plugin {\n x = y\n}',
      'ssl = required',
      'userdb {\n driver = static\n}',
    ),
  );
  it('of generated configurations read back as the same settings', (test) => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
        assertReadsBack(test, lines.join('\n'));
      }),
      { numRuns: 60 },
    );
  });

  it('leave out what equals the default, and blocks that say nothing', (test) => {
    const { config } = load(
      test,
      'base_dir = /run/roost\nlisten = *, ::\nmmap_disable = no\nservice imap {\n}\nservice imap-login {\n inet_listener imap {\n }\n}\nplugin {\n}\nssl = no\n',
    );
    assert.equal(printItems(printedItems(config, changed)), 'ssl = no\n');
    assert.match(printItems(printedItems(config, { ...changed, mode: 'written' })), /^base_dir = \/run\/roost$/m);
  });

  it('hide secrets unless asked', (test) => {
    const { config } = load(test, 'ssl_key = "geheim"\nssl_key_password = x\nssl_cert = y\n');
    const hidden = printItems(printedItems(config, { mode: 'changed', showsSecrets: false }));
    assert.equal(hidden, 'ssl_cert = y\nssl_key = # hidden, use -P to show it\nssl_key_password = # hidden, use -P to show it\n');
    assert.match(printItems(printedItems(config, changed)), /^ssl_key = geheim$/m);
  });

  it('show values from files as <path', (test) => {
    const { config } = load(test, 'ssl_cert = </dev/null\nssl_ca = $ssl_cert\n');
    assert.equal(printItems(printedItems(config, changed)), 'ssl_ca = </dev/null\nssl_cert = </dev/null\n');
  });

  it('are found by name and path', (test) => {
    const items = printedItems(load(test, 'service imap {\n client_limit = 7\n}\npassdb {\n driver = static\n}\n').config, all);
    assert.equal(printItems(findItems(items, 'base_dir') ?? []), 'base_dir = /run/roost\n');
    assert.equal(printItems(findItems(items, 'service/imap/client_limit') ?? []), 'client_limit = 7\n');
    assert.equal(printItems(findItems(items, 'passdb/driver') ?? []), 'driver = static\n');
    assert.equal(findItems(items, 'nothing'), undefined);
  });
});
