import type { CommandReader } from '../reader.js';

/** For commands that take nothing. */
export function parseNothing(reader: CommandReader): undefined {
  reader.end();
  return undefined;
}

/** For commands whose only argument is a mailbox name. */
export function parseMailboxOnly(reader: CommandReader): { readonly mailbox: string } {
  reader.space();
  const mailbox = reader.mailbox();
  reader.end();
  return { mailbox };
}
