// vsz_limit from outside: the heap limit that a child is started with does not bound buffers and native memory, so its resident size is
// watched. Above the limit it takes no more clients and is replaced; far above it is killed before it takes the machine with it. Templates, which
// have no clients, are killed only far above it.
import { readFileSync } from 'node:fs';
import type { Logger } from '#log/logger.js';
import type { Pool, PoolChild } from './pool.js';
import type { Template } from './template.js';

const intervalMs = 5_000;
/** Of the limit. */
const killFactor = 1.5;
const megabyte = 1024 * 1024;
/** Linux on every machine that Node runs on but a few ARM kernels; those then watch late, not early. */
const pageBytes = 4_096;

/** Resident size in octets; 0 when the process is gone or /proc is not there. */
export function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * pageBytes;
  } catch {
    return 0;
  }
}

export class MemoryWatch {
  readonly #log: Logger;
  readonly #pools: () => readonly Pool[];
  readonly #warned = new WeakSet<PoolChild | Template>();
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Logger, pools: () => readonly Pool[]) {
    this.#log = log;
    this.#pools = pools;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), intervalMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  look(read: (pid: number) => number = residentBytes): void {
    for (const pool of this.#pools()) {
      const limit = pool.plan.vszLimitBytes;
      if (limit === 0) continue;
      for (const child of pool.children) this.#check(pool, child, read(child.child.pid), limit);
      for (const template of pool.templates) this.#checkTemplate(pool, template, read(template.pid), limit);
    }
  }

  /** It does nothing but wait, so it does not grow: the limit is too low for the service, and its processes begin where it stands. */
  #checkTemplate(pool: Pool, template: Template, resident: number, limit: number): void {
    if (resident <= limit) return;
    const isKilled = resident > limit * killFactor;
    if (!isKilled && this.#warned.has(template)) return;
    this.#warned.add(template);
    const size = `the template ${template.pid} uses ${Math.round(resident / megabyte)} MB (service ${pool.name} { vsz_limit=${Math.round(limit / megabyte)} MB }, you may need to increase it)`;
    const facts = { service: pool.name, childPid: template.pid, residentBytes: resident, vszLimitBytes: limit };
    if (isKilled) this.#log.error('process.memory', `service(${pool.name}): ${size} - killed`, facts);
    else this.#log.warning('process.memory', `service(${pool.name}): ${size}`, facts);
    if (isKilled) template.kill();
  }

  #check(pool: Pool, child: PoolChild, resident: number, limit: number): void {
    if (resident <= limit) return;
    const facts = { service: pool.name, childPid: child.child.pid, residentBytes: resident, vszLimitBytes: limit };
    const size = `child ${child.child.pid} uses ${Math.round(resident / megabyte)} MB (service ${pool.name} { vsz_limit=${Math.round(limit / megabyte)} MB }, you may need to increase it)`;
    if (resident > limit * killFactor) {
      this.#log.error('process.memory', `service(${pool.name}): ${size} - killed`, facts);
      if (!this.#warned.has(child)) pool.counters.memoryEnds += 1;
      this.#warned.add(child);
      child.expectedEnd = 'out of memory';
      child.child.kill('SIGKILL');
    } else if (!this.#warned.has(child)) {
      this.#warned.add(child);
      pool.counters.memoryEnds += 1;
      this.#log.warning('process.memory', `service(${pool.name}): ${size} - it finishes its clients and is replaced`, facts);
      pool.stopChild(child, 'finish', 'out of memory');
    }
  }
}
