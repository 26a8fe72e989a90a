// How long an answer holds: until something that it was made of would be looked at again.

/** What collects it, for all that one answer was made of. */
export interface Held {
  /** By the clock of the process, ms. Infinity while nothing was read that may change. */
  heldUntilMs: number;
}

/** @param untilMs until when a part of the answer would be given again without a look; undefined when its source cannot tell */
export function holdUntil(held: Held, untilMs: number | undefined): void {
  held.heldUntilMs = Math.min(held.heldUntilMs, untilMs ?? 0);
}
