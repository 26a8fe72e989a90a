import type { CommandReader, SequenceSet } from '../reader.js';

export interface StoreCommand {
  readonly set: SequenceSet;
  readonly mode: 'add' | 'remove' | 'replace';
  readonly silent: boolean;
  readonly flags: readonly string[];
  /** RFC 7162 UNCHANGEDSINCE. */
  readonly unchangedSince: number | undefined;
}

/** STORE (RFC 9051 6.4.6, RFC 7162 3.1.3). */
export function parseStore(reader: CommandReader): StoreCommand {
  reader.space();
  const set = reader.sequenceSet();
  reader.space();
  let unchangedSince: number | undefined;
  if (reader.isAtList) {
    reader.list(() => {
      const name = reader.word('store modifier');
      if (name !== 'UNCHANGEDSINCE') reader.fail(`Unknown STORE modifier ${name}`);
      // RFC 7162 7: a single one.
      if (unchangedSince !== undefined) reader.fail('UNCHANGEDSINCE may be given once');
      reader.space();
      unchangedSince = reader.modSeq();
    });
    reader.space();
  }
  const mode = reader.tryChar('+') ? 'add' : reader.tryChar('-') ? 'remove' : 'replace';
  const item = reader.word('store item');
  if (item !== 'FLAGS' && item !== 'FLAGS.SILENT') reader.fail('Invalid STORE item');
  reader.space();
  const flags: string[] = [];
  if (reader.isAtList) flags.push(...reader.flagList());
  else {
    do flags.push(reader.flag());
    while (reader.trySpace());
  }
  reader.end();
  return { set, mode, silent: item === 'FLAGS.SILENT', flags, unchangedSince };
}
