import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { checkMachine, type TuneResult } from '#cli/tune/checks.js';
import { type MachineFacts, readMachine, type ServerNeeds } from '#cli/tune/facts.js';
import { admin } from './captured.js';

const needs: ServerNeeds = {
  processes: 100,
  connections: 20_000,
  filesPerProcess: 2_040,
  files: 100_000,
  watchingProcesses: 32,
  watchingSessions: 16_000,
  backlog: 16_000,
  memoryBytes: Number.POSITIVE_INFINITY,
};

const large: Readonly<Record<string, string>> = {
  'net.core.somaxconn': '4096',
  'net.ipv4.tcp_max_syn_backlog': '4096',
  'net.unix.max_dgram_qlen': '512',
  'net.core.rmem_max': '212992',
  'fs.file-max': '1000000',
  'fs.nr_open': '1048576',
  'fs.inotify.max_user_instances': '128',
  'fs.inotify.max_user_watches': '524288',
  'fs.inotify.max_queued_events': '16384',
  'kernel.pid_max': '4194304',
  'vm.overcommit_memory': '0',
};

function machine(values: Readonly<Record<string, string>> = {}, more: Partial<MachineFacts> = {}): MachineFacts {
  return {
    sysctl: (name) => ({ ...large, ...values })[name],
    limit: () => ({ soft: 65_536, hard: 65_536 }),
    environment: () => undefined,
    hugePages: 'madvise',
    cpuCount: 8,
    usableCpus: 8,
    memoryBytes: 64 * 1024 ** 3,
    nodeVersion: '20.0.0',
    uvVersion: '1.46.0',
    ...more,
  };
}

const get = (results: readonly TuneResult[], setting: string): TuneResult => {
  const found = results.find((result) => result.setting === setting);
  assert.ok(found, `${setting} is not checked`);
  return found;
};

describe('tune', () => {
  it('finds nothing to change on a machine that is large enough', () => {
    const bad = checkMachine(machine(), needs).filter(({ verdict }) => verdict === 'raise' || verdict === 'change');
    assert.deepEqual(bad, []);
  });

  const low: readonly (readonly [setting: string, value: string, need: number])[] = [
    ['net.core.somaxconn', '128', 1024],
    ['net.unix.max_dgram_qlen', '10', 128],
    ['fs.file-max', '9999', 100_000],
    ['fs.nr_open', '1024', 2_040],
    ['fs.inotify.max_user_instances', '16', 64],
    ['fs.inotify.max_user_watches', '8192', 32_000],
    ['kernel.pid_max', '1000', 1_200],
  ];
  for (const [setting, value, need] of low) {
    it(`wants ${setting} = ${value} raised to ${need}`, () => {
      const result = get(checkMachine(machine({ [setting]: value }), needs), setting);
      assert.deepEqual([result.value, result.verdict], [value, 'raise']);
      assert.match(result.why, new RegExp(`needs ${need}\\.$`));
    });
  }

  it('compares limits of processes with what the configuration needs', () => {
    const results = checkMachine(machine({}, { limit: () => ({ soft: 1024, hard: 4096 }) }), needs);
    const files = get(results, 'open files (ulimit -n)');
    assert.deepEqual([files.value, files.verdict], ['1024 (hard 4096)', 'raise']);
    assert.match(files.why, /needs 2040; this shell gives less \(systemd: LimitNOFILE\)/);
    const free = checkMachine(machine({}, { limit: () => ({ soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY }) }), needs);
    assert.equal(get(free, 'processes (ulimit -u)').value, 'unlimited (hard unlimited)');
  });

  for (const setting of [
    'net.core.rmem_max',
    'net.ipv4.tcp_keepalive_time',
    'vm.max_map_count',
    'kernel.shmmax',
    'net.ipv4.tcp_tw_reuse',
  ]) {
    it(`says that ${setting} of the guides has no effect here, and why`, () => {
      const { verdict, guides, why } = get(checkMachine(machine(), needs), setting);
      assert.deepEqual([verdict, guides !== '', why !== ''], ['no effect', true, true]);
    });
  }

  for (const [name, words] of [
    ['UV_TCP_SINGLE_ACCEPT', /libuv 1\.45; Node 20\.0\.0 has 1\.46\.0/],
    ['UV_THREADPOOL_SIZE', /thread_pool_size/],
    ['NODE_CLUSTER_SCHED_POLICY', /accept for themselves/],
  ] as const) {
    it(`says what became of ${name}`, () => {
      const set = get(checkMachine(machine({}, { environment: () => '1' }), needs), name);
      assert.deepEqual([set.value, set.verdict], ['1', 'no effect']);
      assert.match(set.why, words);
      assert.equal(get(checkMachine(machine(), needs), name).verdict, 'good');
    });
  }

  it('notices memory settings under which processes do not start or grow', () => {
    const results = checkMachine(machine({ 'vm.overcommit_memory': '2' }, { hugePages: 'always', memoryBytes: 1024 ** 3 }), needs);
    assert.equal(get(results, 'vm.overcommit_memory').verdict, 'change');
    assert.equal(get(results, 'transparent huge pages').verdict, 'change');
    assert.match(get(results, 'memory').why, /100 processes of about 48 MB .*lower process_limit/);
  });

  it('has nothing to object to in the kernel settings that come along for sysctl.d', () => {
    const text = readFileSync(new URL('../../packaging/sysctl.d/60-roost.conf', import.meta.url), 'utf8');
    const values = Object.fromEntries([...text.matchAll(/^([\w.]+) = (\d+)$/gm)].map(([, name = '', value = '']) => [name, value]));
    assert.ok(Object.keys(values).length >= 5);
    const results = checkMachine(machine(values), needs);
    for (const name of Object.keys(values)) assert.notEqual(get(results, name).verdict, 'raise', name);
  });

  it('works where nothing can be read, and without a configuration', () => {
    const blind = machine({}, { sysctl: () => undefined, limit: () => undefined, hugePages: undefined });
    const results = checkMachine(blind, undefined);
    assert.deepEqual(
      results.filter(({ verdict }) => verdict === 'raise' || verdict === 'change'),
      [],
    );
    assert.equal(get(results, 'net.core.somaxconn').value, '-');
  });

  it('reads this machine', () => {
    const facts = readMachine();
    assert.match(facts.sysctl('net.core.somaxconn') ?? '', /^\d+$/);
    assert.ok((facts.limit('Max open files')?.soft ?? 0) > 0);
    assert.ok(facts.usableCpus > 0 && facts.memoryBytes > 0);
    assert.equal(facts.sysctl('no.such.thing'), undefined);
  });

  it('prints a record for each knob, also before there is a configuration', async () => {
    const { code, stdout, stderr } = await admin('-c', '/nowhere/roost.conf', 'tune', '--json');
    assert.equal(code, 0);
    assert.match(stderr, /without a configuration/);
    const rows: Record<string, unknown>[] = JSON.parse(stdout);
    assert.deepEqual(Object.keys(rows[0] ?? {}), ['setting', 'value', 'guides', 'verdict', 'why']);
    assert.ok(rows.length > 25);
  });
});
