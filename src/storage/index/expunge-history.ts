// Which UIDs were expunged at which modseq: what RFC 7162 VANISHED (EARLIER) needs. Bounded: the oldest entries are forgotten, and a client
// older than the floor gets its answer by comparison with what exists.

export class ExpungeHistory {
  /** modseq, first uid, last uid; ascending by modseq. */
  #entries: number[] = [];
  #floor: number;

  readonly #maxRanges: number;

  /**
   * @param floor expunges up to this modseq are not known
   * @param maxRanges kept; the VANISHED answer for a client that was away longer is computed
   */
  constructor(floor: number, maxRanges: number) {
    this.#floor = floor;
    this.#maxRanges = maxRanges;
  }

  get floor(): number {
    return this.#floor;
  }

  get entries(): readonly number[] {
    return this.#entries;
  }

  /** The modseq of the first expunge after `since`; undefined: none known. */
  firstAfter(since: number): number | undefined {
    return this.#entries[this.#indexAfter(since)];
  }

  add(modSeq: number, first: number, last: number): void {
    this.#entries.push(modSeq, first, last);
    // Trimmed by a quarter at a time, so that adding stays cheap.
    if (this.#entries.length > this.#maxRanges * 3) this.#trim(Math.floor(this.#maxRanges * 0.75));
  }

  restore(floor: number, entries: readonly number[]): void {
    this.#floor = floor;
    this.#entries = [...entries];
  }

  /** Ranges in no order, or undefined when the history does not reach back to `since`. */
  since(since: number): [number, number][] | undefined {
    if (since < this.#floor) return undefined;
    const ranges: [number, number][] = [];
    for (let index = this.#indexAfter(since); index < this.#entries.length; index += 3) {
      ranges.push([this.#entries[index + 1] as number, this.#entries[index + 2] as number]);
    }
    return ranges;
  }

  /** Position of the first entry with a modseq above `since`. */
  #indexAfter(since: number): number {
    let low = 0;
    let high = this.#entries.length / 3;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle * 3] as number) <= since) low = middle + 1;
      else high = middle;
    }
    return low * 3;
  }

  #trim(keep: number): void {
    let cut = this.#entries.length - keep * 3;
    this.#floor = Math.max(this.#floor, this.#entries[cut - 3] as number);
    // A modseq is forgotten as a whole.
    while (cut < this.#entries.length && (this.#entries[cut] as number) <= this.#floor) cut += 3;
    this.#entries = this.#entries.slice(cut);
  }
}
