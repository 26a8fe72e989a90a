// Sorting long arrays without keeping the event loop: short runs by the engine's own sort, then merges with pauses between.
import { runStepsInSlices, type Steps } from './steps.js';

const runLength = 1024;
/** Merged elements between two pauses. */
const mergeStride = 2048;

/** A new array, sorted; stable. @throws the signal's reason */
export function sortInSlices<Item>(items: readonly Item[], compare: (a: Item, b: Item) => number, signal: AbortSignal): Promise<Item[]> {
  return runStepsInSlices(sortSteps(items, compare), signal);
}

/** The same as steps. */
export function* sortSteps<Item>(items: readonly Item[], compare: (a: Item, b: Item) => number): Steps<Item[]> {
  let from: Item[] = [];
  for (let start = 0; start < items.length; start += runLength) {
    for (const item of items.slice(start, start + runLength).sort(compare)) from.push(item);
    yield;
  }
  for (let width = runLength; width < items.length; width *= 2) {
    const to: Item[] = [];
    for (let start = 0; start < from.length; start += width * 2) {
      const middle = Math.min(start + width, from.length);
      yield* mergeRuns(from, to, { start, middle, end: Math.min(middle + width, from.length) }, compare);
    }
    from = to;
  }
  return from;
}

interface Runs {
  readonly start: number;
  readonly middle: number;
  readonly end: number;
}

/** Appends the merged runs to `to`. */
function* mergeRuns<Item>(
  from: readonly Item[],
  to: Item[],
  { start, middle, end }: Runs,
  compare: (a: Item, b: Item) => number,
): Steps<void> {
  let left = start;
  let right = middle;
  let untilYield = mergeStride;
  while (left < middle || right < end) {
    const a = from[left] as Item;
    const b = from[right] as Item;
    if (right >= end || (left < middle && compare(a, b) <= 0)) {
      to.push(a);
      left += 1;
    } else {
      to.push(b);
      right += 1;
    }
    untilYield -= 1;
    if (untilYield > 0) continue;
    untilYield = mergeStride;
    yield;
  }
  yield;
}
