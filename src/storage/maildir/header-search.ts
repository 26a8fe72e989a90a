// Header fields of cached messages as SEARCH compares them, found without preparing the messages.
import type { Buffer } from 'node:buffer';
import { FieldNames, FieldTable, scanHeader } from '#mail/header-scan.js';
import { cacheUnit } from '../index/cache-record.js';
import { keyOfFields, plainFieldPattern, plainKeyIn } from '../search-text.js';
import type { MaildirBox } from './box.js';
import type { Numbering } from './numbering.js';

/**
 * Tells the keys of these fields (see `headerKey`) for those of the messages whose cached record has them.
 * @param fields lower-case
 * @param found called with the field's place in `fields`
 */
export async function findHeaderKeys(
  box: MaildirBox,
  numbering: Numbering,
  { fields, seqs }: { readonly fields: readonly string[]; readonly seqs: readonly number[] },
  found: (field: number, seq: number, key: string | null) => void,
): Promise<void> {
  const { cache, state } = box;
  if (cache === undefined) return;
  await cache.catchUp(state);
  cache.used(state, fields);
  const headers = cache.headers();
  // From here on without a pause.
  if (headers === undefined || box.state !== state || numbering.state !== state) return;
  const names = new FieldNames(fields);
  const table = new FieldTable();
  const { columns } = state;
  const patterns = fields.map(plainFieldPattern);
  let list = -1;
  let isCovered = false;
  for (const seq of seqs) {
    const row = numbering.rowAt(seq);
    const offset = row < 0 || columns.isDead(row) ? 0 : (columns.cacheOffset[row] as number);
    if (offset === 0 || !headers.find(columns.uid[row] as number, offset * cacheUnit)) continue;
    if (headers.list !== list) {
      list = headers.list;
      isCovered = cache.covers(state, list, fields);
    }
    if (!isCovered) continue;
    const { text } = headers;
    let block: Buffer | undefined;
    for (let field = 0; field < patterns.length; field += 1) {
      let key: string | null | undefined = plainKeyIn(text, patterns[field] as RegExp);
      if (key === undefined) {
        if (block === undefined) {
          block = headers.fields;
          scanHeader(block, names, table);
        }
        key = keyOfFields(block, table, field);
      }
      found(field, seq, key);
    }
  }
}
