import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CountName, countNames } from '#ipc/counts.js';
import { parseMessage } from '#services/master/child-messages.js';
import { metricsText, type ServiceMetrics } from '#services/master/metrics.js';

const server = { startedAtMs: 1_700_000_000_500, reloads: 2, failedReloads: 1 };

function service(name: string, counts: Partial<Record<CountName, number>> = {}): ServiceMetrics {
  const none: readonly (readonly [string, number])[] = countNames.map((count) => [count, 0]);
  return {
    name,
    gauges: {
      processes: 3,
      processes_available: 1,
      processes_busy: 0,
      process_limit: 16,
      process_min_avail: 1,
      client_limit: 1000,
      clients: 7,
      waiting: 0,
      throttled: 0,
      resident_memory_bytes: 4096,
    },
    counters: {
      served: 70,
      started: 4,
      failed: 1,
      killed: 0,
      memoryEnds: 2,
      throttled: 0,
      waited: 5,
      pushedOut: 6,
      refused: 8,
      limitReached: 9,
    },
    counts: { ...(Object.fromEntries(none) as Record<CountName, number>), ...counts },
  };
}

/** Both formats: a sample belongs to the family declared last, families are declared once, a series stands once. */
function check(text: string, format: 'text' | 'openmetrics'): Map<string, number> {
  const samples = new Map<string, number>();
  const families = new Set<string>();
  let family = { name: '', type: '' };
  const lines = text.split('\n');
  assert.equal(lines.pop(), '', 'the last line ends');
  if (format === 'openmetrics') assert.equal(lines.pop(), '# EOF');
  for (const line of lines) {
    const declared = /^# TYPE (\w+) (gauge|counter)$/.exec(line);
    if (declared !== null) {
      family = { name: declared[1] ?? '', type: declared[2] ?? '' };
      assert.ok(!families.has(family.name), `${family.name} is declared twice`);
      families.add(family.name);
      continue;
    }
    if (/^# HELP \w+ \S/.test(line)) continue;
    const [, name = '', labels = '', value = ''] =
      /^([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+)\})? (\d+(?:\.\d+)?)$/.exec(line) ?? [];
    assert.notEqual(name, '', `not a sample: ${line}`);
    const expected = format === 'openmetrics' && family.type === 'counter' ? `${family.name}_total` : family.name;
    assert.equal(name, expected);
    if (family.type === 'counter') assert.match(name, /_total$/);
    assert.ok(!samples.has(`${name}{${labels}}`), `${line} stands twice`);
    samples.set(`${name}{${labels}}`, Number(value));
  }
  return samples;
}

describe('The figures of all services', () => {
  for (const format of ['text', 'openmetrics'] as const) {
    it(`are well-formed as ${format}`, () => {
      const text = metricsText(server, [service('imap', { logins: 3 }), service('auth', { 'auth-ok': 4, 'auth-cache-hits': 2 })], format);
      const samples = check(text, format);
      assert.equal(samples.get('roost_service_processes{service="imap"}'), 3);
      assert.equal(samples.get('roost_service_pushed_out_total{service="imap"}'), 6);
      assert.equal(samples.get('roost_logins_total{service="imap"}'), 3);
      assert.equal(samples.get('roost_auth_requests_total{service="auth",result="ok"}'), 4);
      assert.equal(samples.get('roost_auth_requests_total{service="auth",result="failed"}'), 0);
      assert.equal(samples.get('roost_auth_requests_total{service="imap",result="ok"}'), undefined, 'imap answers no such requests');
      assert.equal(samples.get('roost_reloads_total{result="failed"}'), 1);
      assert.equal(samples.get('roost_start_time_seconds{}'), 1_700_000_000.5);
    });
  }

  it('name every counter and every count of the processes', () => {
    const all = Object.fromEntries(countNames.map((name, index) => [name, 1_000 + index]));
    const values = [...check(metricsText(server, [service('x', all)], 'text'), 'text').values()];
    for (const wanted of [70, 4, 1, 2, 5, 6, 8, 9, ...Object.values(all)]) assert.ok(values.includes(wanted), String(wanted));
  });

  it('quote the names of services', () => {
    assert.match(metricsText(server, [service('a"b\\c\nd')], 'text'), /service="a\\"b\\\\c\\nd"/);
  });
});

describe('Counts from a process', () => {
  const status = { kind: 'status', clients: 1, served: 1, isDraining: false, arrived: [], left: [] };

  it('are taken by the names that there are, others left out', () => {
    const message = parseMessage({ ...status, counts: { logins: 2, 'something-new': 3, constructor: 1 }, load: 'wait' });
    assert.ok(message?.kind === 'status');
    assert.deepEqual(message.counts, { logins: 2 });
    assert.equal(message.load, 'wait');
  });

  for (const bad of [-1, 1.5, Number.NaN, 'x', null, 1e300]) {
    it(`are refused as ${String(bad)}`, () => {
      assert.throws(() => parseMessage({ ...status, counts: { logins: bad } }), TypeError);
    });
  }

  it('are no part of a status without them', () => {
    const message = parseMessage(status);
    assert.ok(message?.kind === 'status');
    assert.equal(message.counts, undefined);
    assert.equal(message.load, undefined);
  });
});
