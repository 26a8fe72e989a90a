// What a server's processes cost, read from /proc: CPU time and proportional memory of a process and everything below it.
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second (sysconf(_SC_CLK_TCK) is 100 on every platform Node runs on). */
const tickMs = 10;

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  /** Own CPU time and that of children already waited for, ms. */
  readonly cpuMs: number;
}

function readStat(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    return { pid, parent: Number(fields[1]), cpuMs: ticks * tickMs };
  } catch {
    return undefined;
  }
}

/** The process and all its descendants. */
export function processTree(root: number): readonly ProcessStat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? []);
  const found = new Map(all.filter(({ pid }) => pid === root).map((stat) => [stat.pid, stat]));
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const stat of all) if (found.has(stat.parent)) found.set(stat.pid, stat);
  }
  return [...found.values()];
}

/** CPU time of the tree so far, ms, processes that have ended included. */
export function treeCpuMs(root: number): number {
  return processTree(root).reduce((sum, { cpuMs }) => sum + cpuMs, 0);
}

/** Sum of PSS, octets. */
export function treePssBytes(root: number): number {
  return processTree(root).reduce((sum, { pid }) => sum + pssBytes(pid), 0);
}

function pssBytes(pid: number): number {
  try {
    const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'));
    return Number(match?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
