// One header field of many messages as SEARCH compares it, in one text for some hundred messages that follow each other: most have not what is looked
// for, and one look at the text tells.

export interface KeyBlock {
  /** UIDs that the block is about: of all messages from the first to the last that are not in `uids` nothing is known. */
  readonly first: number;
  readonly last: number;
  /** Ascending. */
  readonly uids: Uint32Array;
  /** Where the key of each of them begins in `text`; '' stands for no field, too. */
  readonly starts: Uint32Array;
  /** The keys, a line each. */
  readonly text: string;
}

/** What a block takes beside its characters and numbers. */
const blockBytes = 256;

export function bytesOf({ uids, text }: KeyBlock): number {
  return blockBytes + uids.byteLength * 2 + text.length;
}

/** The block that is about this UID, or the next one. @param blocks ascending */
export function blockFrom(blocks: readonly KeyBlock[], uid: number): KeyBlock | undefined {
  let low = 0;
  let high = blocks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((blocks[middle] as KeyBlock).last < uid) low = middle + 1;
    else high = middle;
  }
  return blocks[low];
}

/** @param blocks ascending, stays so */
export function insertBlock(blocks: KeyBlock[], block: KeyBlock): void {
  let at = blocks.length;
  while (at > 0 && (blocks[at - 1] as KeyBlock).first > block.first) at -= 1;
  blocks.splice(at, 0, block);
}

/** Values of `keyOutcomes`. */
export const keyOutcome = { unknown: 0, no: 1, yes: 2 } as const;

/**
 * Which of the messages have the text in their key.
 * @param needle not empty, without a line end
 * @param uids of all messages, ascending
 * @returns for each of them
 */
export function keyOutcomes(blocks: readonly KeyBlock[], needle: string, uids: Uint32Array): Uint8Array {
  const count = uids.length;
  const outcomes = new Uint8Array(count);
  let row = 0;
  for (const block of blocks) {
    const { length } = block.uids;
    const rows = new Int32Array(length);
    for (let index = 0; index < length; index += 1) {
      const uid = block.uids[index] as number;
      while (row < count && (uids[row] as number) < uid) row += 1;
      if (row < count && uids[row] === uid) {
        rows[index] = row;
        outcomes[row] = keyOutcome.no;
      } else rows[index] = -1;
    }
    for (let at = block.text.indexOf(needle); at >= 0; ) {
      const index = lastAtMost(block.starts, at);
      const found = rows[index] as number;
      if (found >= 0) outcomes[found] = keyOutcome.yes;
      const next = block.starts[index + 1];
      at = next === undefined ? -1 : block.text.indexOf(needle, next);
    }
  }
  return outcomes;
}

/** @param values ascending, the first one at most `value`; of equal ones the last is found */
function lastAtMost(values: Uint32Array, value: number): number {
  let low = 0;
  let high = values.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) <= value) low = middle;
    else high = middle;
  }
  return low;
}
