// Gives back the memory that a burst of clients leaves behind.
//
// V8 collects garbage when memory is asked for. A process that has become quiet asks for none, so it keeps what the burst needed for as long as the
// quiet lasts: up to 32 MB of young generation, most of it garbage, several times what its sessions hold. Once the process is quiet it is therefore
// asked to collect the young generation, which takes a few milliseconds, and shrinks it. A full collection
// follows after a burst, and one more once what the burst has left idles, where they are short.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { measureMemory, runInNewContext } from 'node:vm';

const lookMs = 4_000;
/** While there was nothing to do and nothing to give back at the last look. */
const restingLookMs = 12_000;
const megabyte = 1024 * 1024;

export interface MemorySample {
  /** CPU time since the last look, as part of the time that passed. Not that of the event loop, which on a busy machine also counts waiting for a processor. */
  readonly cpuShare: number;
  /** Memory of the young generation, used or not, octets. */
  readonly youngBytes: number;
  /** In use by everything that is not young, garbage included, octets. */
  readonly oldBytes: number;
  /** Connected now. */
  readonly clients: number;
}

export type Collection = 'none' | 'young' | 'full';

/** Below this nobody is kept waiting by a collection. A thousand idle clients cost less. */
const quietCpuShare = 0.05;
/** Clients from which on what a burst has left behind is soon worth a full collection. */
const manyClients = 32;
/**
 * Two looks where many clients stay, so that a pause is not taken for the end of a burst. Where they have gone, a minute: the compiled code of a session
 * goes with the last object of its kind, and those who come next would wait for the compiler (a third more CPU for their first thousands of commands).
 */
const looksBeforeFull = { withClients: 2, without: 15 } as const;
/** After the collection that follows a burst another one takes what was given up since, such as sessions that idle and were folded. */
const looksFromFullToLast = 2;
/** The young generation has 1 MB at the start of a process, and a quarter of it after a collection. */
const restingYoungBytes = 0.75 * megabyte;
/** V8 makes it smaller only while little was allocated for some seconds, and never in a full collection, so the first ones may free and keep. */
const maxYoungTries = 4;
/** A full collection stops the process, for 1 to 2 ms for each MB: larger heaps are left to V8, which does it in steps. */
const maxFullBytes = 96 * megabyte;
/** Growth since the last time at rest that a full collection is worth: octets, and as part of what there was then. */
const worthwhileGrowthBytes = 0.75 * megabyte;
const worthwhileGrowthShare = 0.05;

/** When to collect. Pure: samples in, decision out. */
export class CollectionDecider {
  #quietLooks = 0;
  #looksBeforeFull: number = looksBeforeFull.without;
  #youngTries = maxYoungTries;
  #oldBytesAtRest: number | undefined;
  /** Since the last burst. */
  #hasCollected = false;

  /** Nothing has happened lately and nothing is to be given back. */
  get isResting(): boolean {
    return this.#quietLooks > this.#looksBeforeFull + looksFromFullToLast;
  }

  observe({ cpuShare, youngBytes, oldBytes, clients }: MemorySample): Collection {
    this.#looksBeforeFull = clients < manyClients ? looksBeforeFull.without : looksBeforeFull.withClients;
    this.#oldBytesAtRest ??= oldBytes;
    if (cpuShare > quietCpuShare) {
      this.#quietLooks = 0;
      this.#youngTries = maxYoungTries;
      this.#hasCollected = false;
      return 'none';
    }
    this.#quietLooks += 1;
    if (this.#isWorthCollecting(oldBytes)) {
      this.#hasCollected = true;
      return 'full';
    }
    if (youngBytes <= restingYoungBytes || this.#youngTries === 0) return 'none';
    this.#youngTries -= 1;
    return 'young';
  }

  #isWorthCollecting(oldBytes: number): boolean {
    if (this.#quietLooks < this.#looksBeforeFull || oldBytes > maxFullBytes) return false;
    // What has gone since may come back without a collection here.
    const atRest = Math.min(this.#oldBytesAtRest ?? oldBytes, oldBytes);
    this.#oldBytesAtRest = atRest;
    const growthBytes = oldBytes - atRest;
    if (growthBytes > worthwhileGrowthBytes && growthBytes > atRest * worthwhileGrowthShare) return true;
    return this.#hasCollected && this.#quietLooks === this.#looksBeforeFull + looksFromFullToLast;
  }

  /** After a full collection. */
  collected(oldBytes: number): void {
    this.#oldBytesAtRest = oldBytes;
  }
}

const none = (): number => 0;

export class IdleMemory {
  readonly #decider = new CollectionDecider();
  #timer: NodeJS.Timeout | undefined;
  #isSlow = false;
  #lastCpuMs = 0;
  #lastLookMs = 0;

  readonly #clients: () => number;
  readonly #lookMs: number;

  /**
   * @param clients that are connected
   * @param fastestLookMs how often it looks while there is something to see
   */
  constructor(clients: () => number = none, fastestLookMs = lookMs) {
    this.#clients = clients;
    this.#lookMs = fastestLookMs;
  }

  /** Does not keep the process alive. */
  start(): void {
    // Processes that were started together do not look at the same time.
    this.#look(this.#lookMs * (1 + Math.random()));
  }

  stop(): void {
    this.#isSlow = false;
    clearTimeout(this.#timer);
  }

  /** Clients come or go: looks again soon. */
  touch(): void {
    if (!this.#isSlow) return;
    clearTimeout(this.#timer);
    this.#look(this.#lookMs);
  }

  #look(afterMs: number): void {
    this.#isSlow = afterMs === restingLookMs;
    this.#timer = setTimeout(() => {
      const decision = this.#decider.observe({ cpuShare: this.#cpuShare(), clients: this.#clients(), ...heapSizes() });
      if (decision === 'young') collectYoung();
      else if (decision === 'full') void collectAll().then(() => this.#decider.collected(heapSizes().oldBytes));
      this.#look(this.#decider.isResting ? restingLookMs : this.#lookMs);
    }, afterMs).unref();
  }

  #cpuShare(): number {
    const { user, system } = process.cpuUsage();
    const cpuMs = (user + system) / 1000;
    const nowMs = performance.now();
    const share = (cpuMs - this.#lastCpuMs) / Math.max(1, nowMs - this.#lastLookMs);
    this.#lastCpuMs = cpuMs;
    this.#lastLookMs = nowMs;
    return share;
  }
}

function heapSizes(): Pick<MemorySample, 'youngBytes' | 'oldBytes'> {
  let youngBytes = 0;
  let oldBytes = 0;
  for (const { space_name: name, physical_space_size: size, space_used_size: used } of getHeapSpaceStatistics()) {
    if (name === 'new_space') youngBytes = size;
    else oldBytes += used;
  }
  return { youngBytes, oldBytes };
}

/**
 * V8 shows its collector only to contexts that are made while this flag is set. The context is not kept, as it is as large as what a
 * collection gives back in a small process. The flags are not kept either: under them V8 takes no compiled code of Node's own modules.
 */
export function collectYoung(): void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('typeof gc === "function" ? gc : undefined');
  setFlagsFromString('--no-expose-gc');
  // With any options at all, V8 11 collects the young generation only.
  if (typeof gc === 'function') gc({ type: 'minor' });
}

/**
 * A full collection that leaves compiled code alone, in steps.
 *
 * Optimized code goes with the shapes of objects that it was made for, and these with their last object. Only a collection in steps spares shapes that
 * optimized code knows, as by its end V8 has found that their constructors live; one in a single step, as `gc()` asks for, cannot know. V8 begins one
 * in steps for whoever asks how much memory is in use. Resolves when it is over.
 */
export async function collectAll(): Promise<void> {
  const { emitWarning } = process;
  // What is left of a burst is spread over pages that are almost empty, which V8 would free over several collections.
  if (canCompact) setFlagsFromString('--compact-on-every-full-gc');
  try {
    // It is called experimental, as its figures may change; they are not looked at.
    process.emitWarning = () => undefined;
    const measured = measureMemory({ mode: 'summary', execution: 'eager' });
    process.emitWarning = emitWarning;
    await measured;
  } catch {
    // Not with these flags of V8: the memory comes back later.
  } finally {
    process.emitWarning = emitWarning;
    if (canCompact) setFlagsFromString('--no-compact-on-every-full-gc');
  }
}

/** V8 complains on standard error of flags that it does not know. */
const canCompact = process.versions.v8.startsWith('11.');
