// Queries about system flags alone, as a table: whatever is combined, only 64 sets of flags exist.
import { Buffer } from 'node:buffer';
import type { SearchQuery } from './search.js';
import { flagBit } from './types.js';

const sets = 64;

/** 1 for each set of system flags (`flagBit` mask) that matches; undefined when the query asks for anything else. */
export function flagTable(query: SearchQuery): Uint8Array | undefined {
  switch (query.kind) {
    case 'all':
      return new Uint8Array(sets).fill(1);
    case 'flags':
      return Uint8Array.from({ length: sets }, (_, set) => ((set & query.system) === query.system ? 1 : 0));
    case 'not': {
      const inner = flagTable(query.query);
      return inner?.map((matches) => 1 - matches);
    }
    case 'and':
      return combine(query.queries, 1, (a, b) => a & b);
    case 'or':
      return combine(query.queries, 0, (a, b) => a | b);
    default:
      return undefined;
  }
}

/** Where one message in this many matches, or more, going through all of them costs less. */
const fewFactor = 64;

/**
 * Places of the sets in `flags`, which has no \\Recent, that have a 1 in `table`, ascending, each value looked for by one native call: most searches of a large mailbox
 * (unseen, flagged) find few messages.
 * @returns undefined when they are many
 */
export function fewMatches(flags: Uint8Array, table: Uint8Array): number[] | undefined {
  const octets = Buffer.from(flags.buffer, flags.byteOffset, flags.length);
  const most = flags.length / fewFactor;
  const found: number[] = [];
  for (let set = 0; set < flagBit.recent; set += 1) {
    if (table[set] !== 1) continue;
    for (let at = octets.indexOf(set); at >= 0; at = octets.indexOf(set, at + 1)) {
      if (found.length >= most) return undefined;
      found.push(at);
    }
  }
  return found.sort((a, b) => a - b);
}

function combine(queries: readonly SearchQuery[], start: number, join: (a: number, b: number) => number): Uint8Array | undefined {
  let result = new Uint8Array(sets).fill(start);
  for (const query of queries) {
    const table = flagTable(query);
    if (table === undefined) return undefined;
    result = result.map((value, set) => join(value, table[set] as number));
  }
  return result;
}
