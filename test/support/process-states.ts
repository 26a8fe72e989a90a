// What the processes of a server are doing, from /proc: for the report of a client that waits in vain.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

function openFiles(pid: number): string {
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .map((fd) => `${fd}=${readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/^.*\//, '')}`)
      .join(' ');
  } catch {
    return '';
  }
}

function processesBelow(ancestor: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid)) parents.set(pid, Number(/^\S+ \(.*\) \S (\d+)/s.exec(read(`/proc/${pid}/stat`))?.[1] ?? 0));
  }
  const isBelow = (pid: number): boolean => {
    for (let at = parents.get(pid) ?? 0; at > 1; at = parents.get(at) ?? 0) if (at === ancestor) return true;
    return false;
  };
  return [...parents.keys()].filter(isBelow);
}

export interface ProcessMemory {
  readonly processes: number;
  /** KiB; what processes share counts once for each. */
  readonly sum: number;
  /** Of the largest process. */
  readonly largest: number;
}

/** Resident memory of the processes below `ancestor`. */
export function processMemory(ancestor: number): ProcessMemory {
  const each = processesBelow(ancestor).map((pid) => Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0));
  return { processes: each.length, sum: each.reduce((sum, size) => sum + size, 0), largest: Math.max(0, ...each) };
}

/**
 * A line for each process below `ancestor`, and one for each of its threads: state, where in the kernel it waits, the call that it is in,
 * clock ticks that it has run (user, system). Where /proc does not tell, nothing stands.
 */
export function processStates(ancestor: number): string {
  const lines: string[] = [];
  for (const pid of processesBelow(ancestor)) {
    lines.push(`${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(0, 60)}: ${openFiles(pid)}`);
    let tasks: string[] = [];
    try {
      tasks = readdirSync(`/proc/${pid}/task`);
    } catch {
      // Gone.
    }
    for (const task of tasks) {
      const folder = `/proc/${pid}/task/${task}`;
      const [state = '', ...rest] = (/^\S+ \(.*\) (.*)$/s.exec(read(`${folder}/stat`))?.[1] ?? '').split(' ');
      lines.push(`  ${task} ${state} ${read(`${folder}/wchan`)} [${read(`${folder}/syscall`)}] ${rest[10] ?? ''}+${rest[11] ?? ''}`);
    }
  }
  return lines.join('\n');
}
