import type { CommandReader } from '../reader.js';

export interface CreateCommand {
  readonly mailbox: string;
  /** RFC 6154 CREATE-SPECIAL-USE: attributes as written. */
  readonly specialUse: readonly string[];
}

/** CREATE (RFC 9051 6.3.4) with RFC 4466 parameters. */
export function parseCreate(reader: CommandReader): CreateCommand {
  reader.space();
  const mailbox = reader.mailbox();
  const specialUse: string[] = [];
  if (reader.trySpace()) {
    const parameters = reader.list(() => {
      const name = reader.word();
      if (name !== 'USE') reader.fail(`Unknown CREATE parameter ${name}`);
      reader.space();
      specialUse.push(...reader.flagList());
    });
    if (parameters.length === 0) reader.fail('Empty parameter list.');
  }
  reader.end();
  return { mailbox, specialUse };
}
