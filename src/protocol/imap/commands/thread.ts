// THREAD (RFC 5256).
import type { CommandReader } from '../reader.js';
import type { SearchProgram } from '../search-key.js';
import { parseCharsetAndKeys } from './sort.js';

const algorithms = ['ORDEREDSUBJECT', 'REFERENCES', 'REFS'] as const;
export type ThreadAlgorithm = (typeof algorithms)[number];

export interface ThreadCommand {
  readonly algorithm: ThreadAlgorithm;
  readonly program: SearchProgram;
}

export function parseThread(reader: CommandReader): ThreadCommand {
  reader.space();
  const name = reader.word('thread algorithm');
  const algorithm = algorithms.find((known) => known === name);
  if (algorithm === undefined) return reader.fail('Unknown thread algorithm.');
  reader.space();
  return { algorithm, program: parseCharsetAndKeys(reader) };
}
