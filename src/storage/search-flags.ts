// Queries about system flags alone, as a table: whatever is combined, only 64 sets of flags exist.
import type { SearchQuery } from './search.js';

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

function combine(queries: readonly SearchQuery[], start: number, join: (a: number, b: number) => number): Uint8Array | undefined {
  let result = new Uint8Array(sets).fill(start);
  for (const query of queries) {
    const table = flagTable(query);
    if (table === undefined) return undefined;
    result = result.map((value, set) => join(value, table[set] as number));
  }
  return result;
}
