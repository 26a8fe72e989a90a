// Long computations as generators that yield now and then, so that the caller decides whether others get their turn in between.
import { Slicer } from './deadline.js';

/** A computation with pauses; `return` gives its result. */
export type Steps<Result> = Generator<void, Result, void>;

/** Without pauses. */
export function runSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Gives way to the event loop when a slice of time is used up. @throws the signal's reason */
export async function runStepsInSlices<Result>(steps: Steps<Result>, signal: AbortSignal): Promise<Result> {
  const slicer = new Slicer();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (slicer.isDue) await slicer.pause();
    signal.throwIfAborted();
  }
}
