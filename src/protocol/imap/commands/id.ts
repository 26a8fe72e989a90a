import { decodeUtf8 } from '../grammar.js';
import type { CommandReader } from '../reader.js';

export interface IdCommand {
  /** Names in lower case; null for NIL values. Empty for `ID NIL`. */
  readonly fields: readonly (readonly [name: string, value: string | null])[];
}

/** RFC 2971 3.3 */
const maxFields = 30;

/** ID (RFC 2971). */
export function parseId(reader: CommandReader): IdCommand {
  const fields: [string, string | null][] = [];
  reader.space();
  if (!reader.tryWord('NIL')) {
    reader.list(() => {
      if (fields.length >= maxFields) reader.fail('Too many ID fields');
      const name = reader.isAtString ? reader.string() : reader.atom();
      reader.space();
      const value = reader.nstring();
      fields.push([decodeUtf8(name).toLowerCase(), value === null ? null : decodeUtf8(value)]);
    });
  }
  reader.end();
  return { fields };
}
