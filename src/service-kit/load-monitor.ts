// Measures what load.ts decides by. An idle process is not woken for it: the clock runs only while there are clients, and the fine
// measurement of the event loop only while it is mostly busy.
import { readdir, readFile } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { type EventLoopUtilization, type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { Logger } from '#log/logger.js';
import { LoadDecider, type LoadLimits, type LoadState } from './load.js';

const sampleMs = 500;
/** While the event loop has next to nothing to do; waking up for a look costs more than the rest then. */
const idleSampleMs = 2_000;
const idleUtilization = 0.05;
/** Memory and files change slowly and cost more to look at. */
const slowSampleMs = 5_000;
const histogramResolutionMs = 10;
/** Part of the time the event loop works, past which its delay is measured finely. */
const busyUtilization = 0.5;
/** Past this, close to none can be opened, which sessions already there need too. */
export const maxFilesShare = 0.95;

export class LoadMonitor {
  readonly #decider: LoadDecider;
  readonly #log: Logger;
  readonly #onChange: (state: LoadState) => void;
  #timer: NodeJS.Timeout | undefined;
  #histogram: IntervalHistogram | undefined;
  /** Since the last sample; undefined before `start`. */
  #utilization: EventLoopUtilization | undefined;
  #dueMs = 0;
  #slowAtMs = Number.NEGATIVE_INFINITY;
  #memory = 0;
  #files = 0;
  #maxFiles = 0;
  #lagMs = 0;

  constructor(limits: LoadLimits, log: Logger, onChange: (state: LoadState) => void) {
    this.#decider = new LoadDecider(limits);
    this.#log = log;
    this.#onChange = onChange;
  }

  get state(): LoadState {
    return this.#decider.state;
  }
  /** Latest measurement, ms. */
  get lagMs(): number {
    return this.#lagMs;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#utilization = performance.eventLoopUtilization();
    this.#schedule(sampleMs);
  }

  /** Also when busy: without clients there is no load of ours. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#measureFinely(false);
    if (this.state.kind === 'normal') return;
    this.#observe(0);
    this.#observe(0);
  }

  #schedule(delayMs: number): void {
    this.#dueMs = performance.now() + delayMs;
    this.#timer = setTimeout(() => this.#sample(), delayMs).unref();
  }

  #sample(): void {
    const nowMs = performance.now();
    const lateMs = Math.max(0, nowMs - this.#dueMs);
    const current = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(current, this.#utilization);
    this.#utilization = current;
    const meanMs = this.#histogram === undefined ? 0 : this.#histogram.mean / 1e6 - histogramResolutionMs;
    this.#histogram?.reset();
    this.#schedule(utilization < idleUtilization && this.state.kind === 'normal' ? idleSampleMs : sampleMs);
    this.#measureFinely(utilization > busyUtilization || this.state.kind !== 'normal');
    if (nowMs - this.#slowAtMs >= slowSampleMs) this.#sampleSlowly(nowMs);
    this.#observe(Number.isFinite(meanMs) && meanMs > 0 ? meanMs : lateMs);
  }

  #observe(lagMs: number): void {
    this.#lagMs = lagMs;
    const before = this.state;
    const after = this.#decider.observe({ lagMs, memory: this.#memory, files: this.#files }, performance.now());
    if (after.kind === before.kind) return;
    const fields = { lagMs: Math.round(lagMs), memory: this.#memory, files: this.#files, state: after.kind };
    if (after.kind === 'wait') this.#log.warning('load.busy', `Too busy: ${after.reason}; new clients wait`, fields);
    else if (after.kind === 'refuse')
      this.#log.warning('load.refusing', `Still too busy: ${after.reason}; new clients are refused`, fields);
    else this.#log.info('load.normal', `No longer busy (event loop ${Math.round(lagMs)} ms late); new clients are served`, fields);
    this.#onChange(after);
  }

  #measureFinely(isWanted: boolean): void {
    if (isWanted && this.#histogram === undefined) {
      this.#histogram = monitorEventLoopDelay({ resolution: histogramResolutionMs });
      this.#histogram.enable();
    } else if (!isWanted && this.#histogram !== undefined) {
      this.#histogram.disable();
      this.#histogram = undefined;
    }
  }

  #sampleSlowly(nowMs: number): void {
    this.#slowAtMs = nowMs;
    const machine = 1 - freemem() / totalmem();
    // Within a process nothing else is read than these; where the permission model forbids it, the machine's memory has to do.
    readControlGroupMemory((share) => {
      this.#memory = Math.max(machine, share ?? 0);
    });
    if (this.#maxFiles === 0)
      readText('/proc/self/limits', (text) => (this.#maxFiles = Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? 0)));
    else readdir('/proc/self/fd', (error, names) => (this.#files = error === null ? names.length / this.#maxFiles : 0));
  }
}

/** Memory of the control group without the page cache that can be given up, as part of its limit; undefined when there is none. */
function readControlGroupMemory(done: (share: number | undefined) => void): void {
  const limit = process.constrainedMemory();
  if (limit === undefined || limit === 0 || limit >= totalmem()) {
    done(undefined);
    return;
  }
  readText('/proc/self/cgroup', (own) => {
    const folder = `/sys/fs/cgroup${/^0::(.*)$/m.exec(own)?.[1] ?? ''}`;
    readText(`${folder}/memory.current`, (current) => {
      readText(`${folder}/memory.stat`, (stat) => {
        const cache = Number(/^inactive_file (\d+)$/m.exec(stat)?.[1] ?? 0);
        done(current === '' ? undefined : (Number(current) - cache) / limit);
      });
    });
  });
}

/** '' when it cannot be read. */
function readText(path: string, done: (text: string) => void): void {
  readFile(path, 'utf8', (error, text) => done(error === null ? text : ''));
}
