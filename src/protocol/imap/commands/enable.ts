import type { CommandReader } from '../reader.js';

export interface EnableCommand {
  /** Upper case. */
  readonly capabilities: readonly string[];
}

/** ENABLE (RFC 5161). */
export function parseEnable(reader: CommandReader): EnableCommand {
  const capabilities: string[] = [];
  reader.space();
  do capabilities.push(reader.word());
  while (reader.trySpace());
  reader.end();
  return { capabilities };
}
