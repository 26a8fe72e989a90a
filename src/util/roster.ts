/**
 * A set for few members that come and go all the time: what was removed is held by nothing any more, where a Set holds it for long (cell-map.ts
 * says why). Without order. Nobody may come or go while it is iterated.
 */
export class Roster<Member extends object> {
  readonly #members: Member[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Once, however often it is added. */
  add(member: Member): void {
    if (!this.#members.includes(member)) this.#members.push(member);
  }

  /** @returns false when it was not there */
  delete(member: Member): boolean {
    const at = this.#members.lastIndexOf(member);
    if (at < 0) return false;
    const last = this.#members.pop();
    if (last !== undefined && last !== member) this.#members[at] = last;
    return true;
  }

  [Symbol.iterator](): IterableIterator<Member> {
    return this.#members.values();
  }
}
