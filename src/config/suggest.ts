/** Levenshtein distance with transposed neighbours counted once, given up beyond `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i];
    let smallest = i;
    for (let j = 1; j <= b.length; j += 1) {
      const substitute = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(substitute, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (beforePrevious[j - 2] ?? limit) + 1);
      current.push(best);
      smallest = Math.min(smallest, best);
    }
    if (smallest > limit) return limit + 1;
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? limit + 1;
}

/** The candidate most like `word`, or undefined when none is near (a third of its length, at most 3 edits). */
export function findSimilar(word: string, candidates: Iterable<string>): string | undefined {
  // Long rubbish is not a typing error, and distances cost time in proportion to its length.
  if (word.length > 64) return undefined;
  const folded = word.toLowerCase().replaceAll('-', '_');
  let limit = Math.min(3, Math.max(1, Math.floor(word.length / 3)));
  let found: string | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(folded, candidate.toLowerCase().replaceAll('-', '_'), limit);
    if (distance > limit) continue;
    if (found !== undefined && distance === limit) continue;
    found = candidate;
    limit = distance;
    if (distance === 0) break;
  }
  return found;
}

/** `did you mean X?`, or undefined. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const similar = findSimilar(word, candidates);
  return similar === undefined ? undefined : `did you mean ${similar}?`;
}
