// Flags as administrators write and read them: `\Seen $Forwarded`.
import { type FlagSet, flagBit, type SystemFlag } from '#storage/types.js';
import { AdminError } from '../exit-codes.js';
import type { Cell } from '../print/format.js';

/** In the order in which they are shown. */
const systemFlags: readonly (readonly [name: string, flag: SystemFlag])[] = [
  ['\\Answered', 'answered'],
  ['\\Flagged', 'flagged'],
  ['\\Deleted', 'deleted'],
  ['\\Seen', 'seen'],
  ['\\Draft', 'draft'],
  ['\\Recent', 'recent'],
];

/** @throws AdminError for an unknown system flag */
export function parseFlags(text: string): FlagSet {
  let system = 0;
  const keywords: string[] = [];
  for (const name of text.split(/\s+/).filter((word) => word !== '')) {
    if (!name.startsWith('\\')) keywords.push(name);
    else {
      const found = systemFlags.find(([known]) => known.toLowerCase() === name.toLowerCase());
      // \Recent is the server's to give.
      if (found === undefined || found[1] === 'recent') throw new AdminError('usage', `Invalid system flag: ${name}`);
      system |= flagBit[found[1]];
    }
  }
  return { system, keywords };
}

export function flagsCell(system: number, keywords: readonly string[]): Cell {
  const names = systemFlags.filter(([, flag]) => (system & flagBit[flag]) !== 0).map(([name]) => name);
  const all = [...names, ...keywords];
  return { shown: all.join(' '), json: all };
}
