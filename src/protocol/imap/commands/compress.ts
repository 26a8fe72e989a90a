import type { CommandReader } from '../reader.js';

export interface CompressCommand {
  /** Upper case. */
  readonly mechanism: string;
}

/** COMPRESS (RFC 4978). */
export function parseCompress(reader: CommandReader): CompressCommand {
  reader.space();
  const mechanism = reader.word('compression mechanism');
  reader.end();
  return { mechanism };
}
