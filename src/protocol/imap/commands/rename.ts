import type { CommandReader } from '../reader.js';

export interface RenameCommand {
  readonly from: string;
  readonly to: string;
}

/** RENAME (RFC 9051 6.3.6). */
export function parseRename(reader: CommandReader): RenameCommand {
  reader.space();
  const from = reader.mailbox();
  reader.space();
  const to = reader.mailbox();
  reader.end();
  return { from, to };
}
