/** Part of the cache file whose records are known to be whole and intact: this process has written or checked them, and nobody changes a record. */
export class IntactRange {
  from = 0;
  to = 0;

  /** @param to behind the last octet of a record; no octet in between belongs to anything else than intact records */
  add(from: number, to: number): void {
    if (from <= this.to && to >= this.from) {
      this.from = Math.min(from, this.from);
      this.to = Math.max(to, this.to);
    } else if (to - from > this.to - this.from) {
      this.from = from;
      this.to = to;
    }
  }
}
