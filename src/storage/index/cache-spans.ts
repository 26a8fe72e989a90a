// Positions in roost.cache that are read with one call.

/** Records closer together than this are read with one call. */
const gapBytes = 32 * 1024;
const spanBytes = 1024 * 1024;

/** Where a message's record begins. */
export interface Position {
  readonly uid: number;
  readonly offset: number;
}

/** @param positions ascending */
export function spansOf(positions: readonly Position[]): Position[][] {
  const spans: Position[][] = [];
  let span: Position[] = [];
  for (const position of positions) {
    const first = span[0];
    const last = span.at(-1);
    const isNear =
      first !== undefined && last !== undefined && position.offset - last.offset < gapBytes && position.offset - first.offset < spanBytes;
    if (isNear) span.push(position);
    else {
      span = [position];
      spans.push(span);
    }
  }
  return spans;
}
