// Envelopes and structures of messages that follow each other, as they lie in the cache.
import { sectionKind } from '../index/cache-record.js';
import { unknown32 } from '../index/columns.js';
import type { FlagColumns, WireForm, WireRoom, WireRun } from '../wire-run.js';
import type { MaildirBox } from './box.js';

/**
 * @param columnsOf those of the messages, once nothing is waited for any more
 * @param seqs first and last
 * @param forms in the order of their section kinds, each once
 */
export async function findWireRun(
  box: MaildirBox,
  columnsOf: () => FlagColumns | undefined,
  { seqs: [first, last], forms }: { readonly seqs: readonly [number, number]; readonly forms: readonly WireForm[] },
  { octets, places }: WireRoom,
): Promise<WireRun | undefined> {
  const { cache, state } = box;
  if (cache === undefined) return undefined;
  await cache.catchUp(state);
  const columns = columnsOf();
  // Somebody may have replaced or given up the index meanwhile.
  if (columns === undefined || box.state !== state || columns.uid !== state.columns.uid) return undefined;
  const sections = Uint8Array.from(forms, (form) => sectionKind[form]);
  const count = cache.locate(state, { rows: [first - 1, last - 1], sections }, octets, places);
  const { virtualSize, internalDate } = state.columns;
  if (!box.options.ignoreSizesInNames) {
    for (let row = first - 1; row < first - 1 + count; row += 1) if (virtualSize[row] === unknown32) state.fillSizesFromName(row);
  }
  return { ...columns, virtualSize, internalDate, count };
}
