/** Median; of an even number the mean of the middle two. NaN for none. */
export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** @param percent 0 to 100; linear between the two nearest */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const position = ((sorted.length - 1) * percent) / 100;
  const low = sorted[Math.floor(position)] ?? Number.NaN;
  const high = sorted[Math.ceil(position)] ?? Number.NaN;
  return low + (high - low) * (position - Math.floor(position));
}
