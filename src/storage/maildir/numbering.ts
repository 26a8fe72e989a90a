// The sequence numbers one client knows, mapped to rows of the index (RFC 9051 2.3.1.2).
//
// As long as no message that the client does not count lies between those it counts, sequence number n is row n-1 and nothing is stored; else
// `rows` holds the mapping. A message that vanished together with the index state it was in has no row: it is a ghost, of which
// only the UID is left and what was last known of its flags.
import { Buffer } from 'node:buffer';
import type { IndexState } from '../index/index-state.js';
import { flagBit } from '../types.js';

const ghostBit = 0x80000000;

/** A message without a row. */
export interface Ghost {
  readonly uid: number;
  readonly flags: number;
  readonly keywords: readonly string[];
  /** Undefined where nothing is known any more. */
  readonly modSeq: number | undefined;
}

export class Numbering {
  state: IndexState;
  count = 0;
  #rows: Uint32Array | undefined;
  #ghosts: Ghost[] = [];
  /** First and last UID of each run, while parked. */
  #parked: Uint32Array | undefined;
  /** Rows of the state that have been looked at: later ones are news. */
  #seenRows = 0;
  /** `expungeCount` of the state when all expunges had been told. */
  #toldExpunges: number;

  constructor(state: IndexState) {
    this.state = state;
    this.#toldExpunges = state.expungeCount;
    this.appendArrivals();
  }

  /** Row, or -1 for a ghost. @throws RangeError */
  rowAt(seq: number): number {
    if (!(seq >= 1 && seq <= this.count)) throw new RangeError(`sequence number ${seq} outside 1..${this.count}`);
    if (this.#parked !== undefined) return -1;
    if (this.#rows === undefined) return seq - 1;
    const row = this.#rows[seq - 1] as number;
    return row >= ghostBit ? -1 : row;
  }

  uidAt(seq: number): number {
    const row = this.rowAt(seq);
    if (row >= 0) return this.state.columns.uid[row] as number;
    if (this.#parked !== undefined) return parkedUidAt(this.#parked, seq);
    return (this.ghostAt(seq) as Ghost).uid;
  }

  /** Undefined also while parked. */
  ghostAt(seq: number): Ghost | undefined {
    return this.#ghosts[((this.#rows?.[seq - 1] as number) - ghostBit) >>> 0];
  }

  /** Sequence number of the first message that is there and has none of these flags; 0 when there is none. */
  firstWithout(mask: number): number {
    const { columns } = this.state;
    const first = this.isPlain ? firstRowWithout(columns.flags.subarray(0, this.count), mask) : 0;
    for (let seq = first + 1; seq <= this.count; seq += 1) {
      const row = this.rowAt(seq);
      if (row >= 0 && ((columns.flags[row] as number) & mask) === 0 && !columns.isDead(row)) return seq;
    }
    return 0;
  }

  isGone(seq: number): boolean {
    const row = this.rowAt(seq);
    return row < 0 || this.state.columns.isDead(row);
  }

  lowerBound(uid: number): number {
    let low = 0;
    let high = this.count;
    if (this.#rows === undefined && this.#parked === undefined) {
      const uids = this.state.columns.uid;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((uids[middle] as number) < uid) low = middle + 1;
        else high = middle;
      }
      return low + 1;
    }
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.uidAt(middle + 1) < uid) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  }

  /** Sequence number n is row n-1 for all of them. */
  get isPlain(): boolean {
    return this.#rows === undefined && this.#parked === undefined;
  }

  /** Some message counted here is gone and the client has not been told. */
  get hasUntold(): boolean {
    return this.#toldExpunges !== this.state.expungeCount || this.#ghosts.length > 0;
  }

  get hasArrivals(): boolean {
    return this.#seenRows < this.state.columns.length;
  }

  /** Takes out what is gone. @returns in reporting order, each in the numbering left by those before */
  dropGone<Uid extends number>(): { seq: number; uid: Uid }[] {
    const told: { seq: number; uid: Uid }[] = [];
    if (!this.hasUntold) return told;
    const kept = new Uint32Array(this.count);
    let keptCount = 0;
    for (let seq = 1; seq <= this.count; seq += 1) {
      if (this.isGone(seq)) told.push({ seq: keptCount + 1, uid: this.uidAt(seq) as Uid });
      else {
        kept[keptCount] = this.rowAt(seq);
        keptCount += 1;
      }
    }
    if (told.length > 0) {
      this.#rows = kept.subarray(0, keptCount);
      this.count = keptCount;
    }
    this.#ghosts = [];
    this.#toldExpunges = this.state.expungeCount;
    return told;
  }

  /** Counts the live messages that are new in the state. @returns how many */
  appendArrivals(): number {
    const { columns } = this.state;
    const from = this.#seenRows;
    const to = columns.length;
    if (from === to) return 0;
    this.#seenRows = to;
    let live = to - from;
    if (this.state.hasDeadRows) for (let row = from; row < to; row += 1) if (columns.isDead(row)) live -= 1;
    if (this.#rows === undefined && this.count === from && live === to - from) {
      this.count = to;
      return live;
    }
    const rows = new Uint32Array(this.count + live);
    for (let seq = 1; seq <= this.count; seq += 1) rows[seq - 1] = this.#rows === undefined ? seq - 1 : (this.#rows[seq - 1] as number);
    for (let row = from; row < to; row += 1) {
      if (columns.isDead(row)) continue;
      rows[this.count] = row;
      this.count += 1;
    }
    this.#rows = rows;
    return live;
  }

  /** True when no row this numbering uses is dead, so that the state may drop its dead rows. */
  get allowsCompaction(): boolean {
    return !this.hasUntold && !this.hasArrivals;
  }

  /** The state has dropped its dead rows: what is counted here are all its rows now. */
  compacted(): void {
    this.#rows = undefined;
    this.#seenRows = this.state.columns.length;
  }

  /** Counts these messages, in place of those of the state: what a view did that another process has suspended. */
  takeOver(uids: ArrayLike<number>, uidNext: number): void {
    this.moveTo(this.state, uids);
    this.#seenRows = this.state.columns.lowerBound(uidNext);
  }

  /** Another state has taken the place of the old one: the same messages are found by their UIDs. */
  moveTo(state: IndexState, uids: ArrayLike<number>): void {
    const rows = new Uint32Array(uids.length);
    const earlier = new Map(this.#ghosts.map((ghost) => [ghost.uid, ghost]));
    const ghosts: Ghost[] = [];
    let lastKnown = 0;
    for (let index = 0; index < uids.length; index += 1) {
      const uid = uids[index] as number;
      const row = state.columns.rowOf(uid);
      if (row >= 0) {
        rows[index] = row;
        lastKnown = row + 1;
      } else {
        rows[index] = (ghostBit + ghosts.length) >>> 0;
        ghosts.push(earlier.get(uid) ?? this.#lastKnownOf(uid));
      }
    }
    this.state = state;
    this.#rows = rows;
    this.#ghosts = ghosts;
    this.count = uids.length;
    this.#seenRows = Math.max(lastKnown, uids.length === 0 ? 0 : state.columns.lowerBound((uids[uids.length - 1] as number) + 1));
    // Whatever is dead in the new state may be counted here: it is told at the next sync.
    this.#toldExpunges = state.hasDeadRows ? -1 : state.expungeCount;
  }

  #lastKnownOf(uid: number): Ghost {
    const { state } = this;
    const row = state.columns.rowOf(uid);
    if (row < 0) return { uid, flags: 0, keywords: [], modSeq: undefined };
    const { flags, isWhole } = state.columns;
    // A state whose modseqs were not read yet may have been given up because they cannot be.
    const modSeq = isWhole ? (state.columns.modSeq[row] as number) : undefined;
    return { uid, flags: flags[row] as number, keywords: state.keywordsOf(row), modSeq };
  }

  /** Gives up the state; only the UIDs stay, as ranges. Until `resume` the messages are ghosts: their UIDs are known and nothing else. */
  park(placeholder: IndexState): void {
    const flat: number[] = [];
    for (const uid of this.uids()) {
      if (flat.length > 0 && flat[flat.length - 1] === uid - 1) flat[flat.length - 1] = uid;
      else flat.push(uid, uid);
    }
    this.#parked = Uint32Array.from(flat);
    this.state = placeholder;
    this.#rows = undefined;
    this.#ghosts = [];
  }

  get isParked(): boolean {
    return this.#parked !== undefined;
  }

  resume(state: IndexState): void {
    const uids = this.uids();
    this.#parked = undefined;
    this.moveTo(state, uids);
  }

  #expandParked(flat: Uint32Array): Uint32Array {
    const uids = new Uint32Array(this.count);
    let at = 0;
    for (let index = 0; index < flat.length; index += 2) {
      for (let uid = flat[index] as number; uid <= (flat[index + 1] as number); uid += 1) {
        uids[at] = uid;
        at += 1;
      }
    }
    return uids;
  }

  uids(): Uint32Array {
    if (this.#parked !== undefined) return this.#expandParked(this.#parked);
    const uids = new Uint32Array(this.count);
    if (this.#rows === undefined) uids.set(this.state.columns.uid.subarray(0, this.count));
    else for (let seq = 1; seq <= this.count; seq += 1) uids[seq - 1] = this.uidAt(seq);
    return uids;
  }
}

/** Each set of flags that would do is looked for by a native call: that many messages are read, or none is, must not cost a loop over all of them. */
function firstRowWithout(flags: Uint8Array, mask: number): number {
  const octets = Buffer.from(flags.buffer, flags.byteOffset, flags.length);
  let first = flags.length;
  for (let set = 0; set < flagBit.recent; set += 1) {
    if ((set & mask) !== 0) continue;
    const row = octets.subarray(0, first).indexOf(set);
    if (row >= 0) first = row;
  }
  return first;
}

function parkedUidAt(flat: Uint32Array, seq: number): number {
  let left = seq - 1;
  for (let index = 0; index < flat.length; index += 2) {
    const first = flat[index] as number;
    const length = (flat[index + 1] as number) - first + 1;
    if (left < length) return first + left;
    left -= length;
  }
  throw new RangeError(`sequence number ${seq}`);
}
