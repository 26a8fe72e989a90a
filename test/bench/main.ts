// `npm run bench`: the same scenarios against Roost and its rivals, alternately in one run, and a table with medians and ratios.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Peer, PeerName } from './peers/peer.js';
import { isInstalled, startPeer } from './peers/registry.js';
import type { Figure, Scenario, Size } from './scenario.js';
import { scenarios } from './scenarios/all.js';
import { median } from './stats.js';

const { values: flags } = parseArgs({
  options: {
    list: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    runs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

interface Row {
  readonly scenario: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly roost: number;
  readonly peer: number | null;
  readonly peerName: string | null;
  /** Above 1: Roost is better. */
  readonly ratio: number | null;
  readonly runs: number;
}

const size: Size = flags.smoke ? 'smoke' : 'full';
const runs = flags.smoke ? 1 : Number(flags.runs);
const note = (text: string): void => void process.stderr.write(`${text}\n`);

function isWanted(scenario: Scenario): boolean {
  if (flags.smoke && scenario.isVariant === true && !flags.only.includes(scenario.name)) return false;
  return flags.only.length === 0 || flags.only.some((name) => scenario.name === name || scenario.name.startsWith(`${name}/`));
}

/** Servers of the scenario that runs, for a run that is interrupted. */
let running: readonly Peer[] = [];

/** Runs one scenario against all its installed peers, in turn. */
async function measure(scenario: Scenario): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-bench-'));
  // Servers run as several users, who all have to reach their sockets and files.
  chmodSync(folder, 0o755);
  const started: Peer[] = [];
  running = started;
  const results = new Map<PeerName, Figure[][]>();
  try {
    for (const name of scenario.peers) {
      if (!isInstalled(name)) {
        note(`  ${name}: not installed, left out`);
        continue;
      }
      const own = join(folder, name);
      mkdirSync(own, { mode: 0o755 });
      const peer = await startPeer(name, { folder: own, fsync: 'optimized', ...scenario.options(name) });
      started.push(peer);
      await scenario.prepare?.(peer, size);
    }
    for (let run = 0; run < runs; run++) {
      // Every other run in the opposite order, so that neither always has the warmer machine.
      for (const peer of run % 2 === 0 ? started : [...started].reverse()) {
        const figures = await scenario.run(peer, size);
        results.set(peer.name, [...(results.get(peer.name) ?? []), [...figures]]);
        note(`  ${peer.name}: ${figures.map(({ metric, value, unit }) => `${metric} ${format(value)} ${unit}`).join(', ')}`);
      }
    }
  } finally {
    for (const peer of started) await peer.stop();
    if (process.env['ROOST_BENCH_KEEP'] === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    else note(`  kept: ${folder}`);
  }
  return rows(scenario, results);
}

function rows(scenario: Scenario, results: ReadonlyMap<PeerName, readonly (readonly Figure[])[]>): Row[] {
  const middle = (name: PeerName, metric: string): number =>
    median((results.get(name) ?? []).flatMap((figures) => figures.filter((figure) => figure.metric === metric).map(({ value }) => value)));
  const own = results.get('roost')?.[0] ?? [];
  const rivals = [...results.keys()].filter((name) => name !== 'roost');
  return own.flatMap(({ metric, unit, better }): Row[] => {
    const roost = middle('roost', metric);
    const base = { scenario: scenario.name, metric, unit, better, roost, runs };
    if (rivals.length === 0) return [{ ...base, peer: null, peerName: null, ratio: null }];
    return rivals.map((name) => {
      const peer = middle(name, metric);
      const ratio = better === 'higher' ? roost / peer : peer / roost;
      return { ...base, peer, peerName: name, ratio: Number.isFinite(ratio) ? ratio : null };
    });
  });
}

function format(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}

function printTable(table: readonly Row[]): void {
  const cells = table.map((row) => [
    row.scenario,
    row.metric,
    row.unit,
    format(row.roost),
    row.peerName ?? '-',
    row.peer === null ? '-' : format(row.peer),
    row.ratio === null ? '-' : row.ratio.toFixed(2),
  ]);
  const head = ['scenario', 'figure', 'unit', 'roost', 'peer', 'peer value', 'ratio'];
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column < 3 || column === 4 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  console.log([line(head), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line)].join('\n'));
  console.log(`\nMedians of ${runs} run(s), servers measured alternately in one run; a ratio above 1 means that Roost is better.`);
  console.log(
    `Machine: ${cpus().length} x ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}, ${fileSystem()}.`,
  );
}

function fileSystem(): string {
  try {
    return execFileSync('stat', ['-f', '-c', '%T', tmpdir()], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown file system';
  }
}

async function main(): Promise<number> {
  if (flags.help) {
    console.log(
      'npm run bench -- [--list] [--only NAME ...] [--runs N] [--json] [--smoke]\nNAME is a scenario or a group of them (the part before the slash).',
    );
    return 0;
  }
  const wanted = scenarios.filter(isWanted);
  if (flags.list) {
    for (const scenario of scenarios) console.log(`${scenario.name.padEnd(28)} ${scenario.about}`);
    return 0;
  }
  if (wanted.length === 0 || !Number.isInteger(runs) || runs < 1) {
    note(wanted.length === 0 ? `no such scenario: ${flags.only.join(', ')} (see --list)` : '--runs takes a whole number');
    return 64;
  }
  const table: Row[] = [];
  for (const scenario of wanted) {
    note(`${scenario.name}: ${scenario.about}`);
    table.push(...(await measure(scenario)));
  }
  if (flags.json) console.log(JSON.stringify(table));
  else printTable(table);
  return 0;
}

let interruption: Promise<void> | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    interruption ??= Promise.allSettled(running.map((peer) => peer.stop())).then(() => process.exit(130));
  });
}
try {
  process.exitCode = await main();
} catch (error) {
  // Clients fail while their servers are being stopped: to end now would leave some of them.
  await interruption;
  throw error;
}
