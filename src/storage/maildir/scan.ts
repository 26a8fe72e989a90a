// Compares folder listings with the index: pure, no file calls.
//
// A listing may be older than the index (a file renamed while the folder was read shows up twice or not at all), so what it says is a proposal:
// missing files are believed only when a second listing misses them too, and flags only for messages nobody changed meanwhile.
import { rowBit } from '../index/columns.js';
import type { IndexState } from '../index/index-state.js';
import { fewNames, LinearLookup, NameLookup } from '../index/name-lookup.js';
import { baseLength } from './file-name.js';
import { type FoundFile, FoundFiles, type Listings } from './found-files.js';
import type { NameList } from './name-list.js';

export interface ScanResult {
  /** Rows whose file is where it is not expected, or has another suffix: row, suffix id, in new/ (0 or 1); three numbers each. */
  readonly changed: number[];
  readonly unknown: FoundFiles;
  /** Live rows without a file. */
  readonly missing: number[];
  /** Second files of a base name that has already been found. */
  readonly duplicates: FoundFile[];
}

export function compareListings(state: IndexState, listings: Listings): ScanResult {
  const columns = state.columns;
  const names = (listings.inNew?.length ?? 0) + (listings.inCur?.length ?? 0);
  const lookup = names <= fewNames ? new LinearLookup(columns) : new NameLookup(columns);
  const seen = new Uint8Array(columns.length);
  const result: ScanResult = { changed: [], unknown: new FoundFiles(listings), missing: [], duplicates: [] };
  const visit = (fileName: string, isInNew: boolean, place: number): void => {
    if (fileName.charCodeAt(0) === 0x2e) return;
    const length = baseLength(fileName);
    const row = lookup.find(fileName, length);
    if (row < 0) {
      result.unknown.push(place, isInNew);
      return;
    }
    if (seen[row] !== 0) {
      result.duplicates.push({ fileName, isInNew });
      return;
    }
    seen[row] = 1;
    const suffix = length === fileName.length ? 0 : state.suffixes.idOf(fileName.slice(length));
    const wasInNew = ((columns.bits[row] as number) & rowBit.inNew) !== 0;
    if (columns.suffix[row] !== suffix || wasInNew !== isInNew) result.changed.push(row, suffix, isInNew ? 1 : 0);
  };
  const { inNew, inCur } = listings;
  if (columns.length === 0) {
    takeAll(inNew, true, result.unknown);
    takeAll(inCur, false, result.unknown);
    return result;
  }
  for (let place = 0; inNew !== undefined && place < inNew.length; place += 1) visit(inNew.at(place), true, place);
  for (let place = 0; inCur !== undefined && place < inCur.length; place += 1) visit(inCur.at(place), false, place);
  for (let row = 0; row < columns.length; row += 1) {
    if (seen[row] !== 0) continue;
    const bits = columns.bits[row] as number;
    if ((bits & rowBit.dead) !== 0) continue;
    const wasRead = (bits & rowBit.inNew) !== 0 ? listings.inNew !== undefined : listings.inCur !== undefined;
    if (wasRead) result.missing.push(row);
  }
  return result;
}

/** Nothing is known yet. */
function takeAll(names: NameList | undefined, isInNew: boolean, unknown: FoundFiles): void {
  for (let place = 0; names !== undefined && place < names.length; place += 1) if (!names.isHidden(place)) unknown.push(place, isInNew);
}

/** Splits a file name into what the index keeps. */
export function splitFileName(fileName: string): { readonly baseName: string; readonly suffix: string } {
  const length = baseLength(fileName);
  return { baseName: fileName.slice(0, length), suffix: fileName.slice(length) };
}
