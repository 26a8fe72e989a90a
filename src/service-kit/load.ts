// When a process is too busy for new clients. Pure: samples in, state out.
//
// Being busy takes two samples in a row past a limit, being free again two below 70 % of it, so that one long garbage collection turns nobody
// away. A busy process first lets new clients wait, which costs them nothing if it passes, and only then refuses them.

export interface LoadSample {
  /** How late the event loop is, ms. */
  readonly lagMs: number;
  /** Used part of the memory that may be used, 0 to 1. */
  readonly memory: number;
  /** Open part of the file descriptors that may be open, 0 to 1. */
  readonly files: number;
}

export interface LoadLimits {
  /** Infinity: no limit, for each of them. */
  readonly lagMs: number;
  readonly memory: number;
  readonly files: number;
}

export type LoadState =
  | { readonly kind: 'normal' }
  /** New clients wait in the kernel's queue, where other processes may take them. */
  | { readonly kind: 'wait'; readonly reason: string }
  /** New clients are accepted and refused. */
  | { readonly kind: 'refuse'; readonly reason: string };

/** How long new clients wait before they are refused. */
export const maxWaitMs = 10_000;
const calmShare = 0.7;

const normal: LoadState = { kind: 'normal' };

export class LoadDecider {
  readonly #limits: LoadLimits;
  #state: LoadState = normal;
  #busySinceMs = 0;
  #lastReason: string | undefined;
  #wasCalm = false;

  constructor(limits: LoadLimits) {
    this.#limits = limits;
  }

  get state(): LoadState {
    return this.#state;
  }

  /** @param nowMs any clock that does not go back */
  observe(sample: LoadSample, nowMs: number): LoadState {
    const reason = this.#excess(sample, 1);
    const isCalm = this.#excess(sample, calmShare) === undefined;
    if (this.#state.kind === 'normal') {
      if (reason !== undefined && this.#lastReason !== undefined) {
        this.#busySinceMs = nowMs;
        this.#state = { kind: 'wait', reason };
      }
    } else if (isCalm && this.#wasCalm) this.#state = normal;
    else if (this.#state.kind === 'wait' && nowMs - this.#busySinceMs >= maxWaitMs)
      this.#state = { kind: 'refuse', reason: this.#state.reason };
    this.#lastReason = reason;
    this.#wasCalm = isCalm;
    return this.#state;
  }

  /** Which limit is passed, with the values; `share` of each counts. */
  #excess({ lagMs, memory, files }: LoadSample, share: number): string | undefined {
    const limits = this.#limits;
    if (lagMs > limits.lagMs * share) return `event loop is ${Math.round(lagMs)} ms late (busy_max_lag = ${limits.lagMs} ms)`;
    // A steady high share is normal for memory and files, so leaving needs only a little less than entering.
    const slack = share < 1 ? 0.05 : 0;
    if (memory > limits.memory - slack) return `${percent(memory)} of the memory is in use (busy_max_memory = ${percent(limits.memory)})`;
    if (files > limits.files - slack) return `${percent(files)} of the file descriptors are open (limit ${percent(limits.files)})`;
    return undefined;
  }
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
