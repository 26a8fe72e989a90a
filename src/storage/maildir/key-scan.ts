// Header fields of many cached messages made into blocks of keys. Sections of records that lie together are copied together, and what is done with the
// text is done by the runtime for all of them at once: a process that has just started runs our own code uncompiled.
import { Buffer } from 'node:buffer';
import { Slicer } from '#util/deadline.js';
import type { FieldKeys } from '../header-keys.js';
import { sectionKind } from '../index/cache-record.js';
import { blockFrom, bytesOf, type KeyBlock, keyOutcomes } from '../key-blocks.js';
import type { HeaderWanted } from '../search-source.js';
import type { MaildirBox } from './box.js';
import { HeaderFill } from './header-fill.js';
import type { Numbering } from './numbering.js';

const windowBytes = 262_144;
const headerOnly = Uint8Array.of(sectionKind.header);
const runLength = 1024;
/** Where fewer lie together, looking for them costs more than it spares; then so many are left out, each time twice as many. */
const minRun = 32;
const firstStep = 200;
const longestStep = 3200;
const sliceMs = 4;
const plainName = /^[a-z0-9-]{1,100}$/;
/** A value that holds this takes a closer look (see `plainFieldPattern`). */
const odd = /[^\x20-\x7e]|=\?| {2}|^ | $/;
/** The same for values in lines. */
const oddLines = /[^\x20-\x7e\n]|=\?| {2}|\n | \n|^ | $/;
const colon = 0x3a;
const blank = 0x20;
const carriageReturn = 0x0d;

/**
 * Finds out for as many messages as can be told quickly whether a field holds a text.
 * @returns `keyOutcome` for each message; undefined where nothing can be told
 */
export async function headerOutcomes(
  box: MaildirBox,
  numbering: Numbering,
  { field, needle, mayRead }: HeaderWanted,
  keys: FieldKeys,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { cache, state } = box;
  if (cache === undefined || needle === '' || needle.includes('\n') || !plainName.test(field)) return undefined;
  await cache.catchUp(state);
  cache.used(state, [field]);
  const slicer = new Slicer(sliceMs);
  await readStored(box, field, keys, async () => {
    if (slicer.isDue) await slicer.pause();
    signal.throwIfAborted();
  });
  const scan = new KeyScan(box, field);
  const news = new StoredLater(box, field);
  let fill = mayRead ? HeaderFill.begin(box, field) : undefined;
  /** Messages up to this UID have been read, where they had to be. */
  let readUid = 0;
  let step = firstStep;
  // By UID: rows may move while others have their turn.
  for (let uid = 1; ; ) {
    if (box.state !== state || numbering.state !== state || !numbering.isPlain) return undefined;
    const { columns } = state;
    const row = columns.lowerBound(uid);
    if (row >= numbering.count) break;
    const known = blockFrom(keys.blocks, columns.uid[row] as number);
    if (known !== undefined && known.first <= (columns.uid[row] as number)) {
      uid = known.last + 1;
      continue;
    }
    const end = Math.min(numbering.count, known === undefined ? numbering.count : columns.lowerBound(known.first)) - 1;
    const last = Math.min(end, row + runLength - 1);
    const unread = Math.max(row, columns.lowerBound(readUid + 1));
    if (fill !== undefined && unread <= last) {
      const lastRead = fill.run([unread, last], slicer);
      readUid = lastRead < unread ? await fill.runSlowly([unread, last], signal) : (columns.uid[lastRead] as number);
      if (fill.isInVain) fill = undefined;
      if (slicer.isDue) await slicer.pause();
      signal.throwIfAborted();
      continue;
    }
    const { block, count } = scan.run(row, last);
    if (block !== undefined) {
      if (!keys.addBlock(block)) break;
      if (count >= minRun) news.add(block);
    }
    let next = row + count;
    if (count >= minRun || fill !== undefined) step = firstStep;
    else if (next <= last) {
      next += step;
      step = Math.min(step * 2, longestStep);
    }
    // One that takes another way.
    if (count === 0 && fill !== undefined) next += 1;
    if (next >= numbering.count) break;
    uid = columns.uid[next] as number;
    if (slicer.isDue) await slicer.pause();
    signal.throwIfAborted();
  }
  news.flush();
  return keyOutcomes(keys.blocks, needle, state.columns.uid.subarray(0, numbering.count));
}

/** What earlier processes have found out, once this one knows nothing of the field. */
async function readStored({ keyFile, state }: MaildirBox, field: string, keys: FieldKeys, breathe: () => Promise<void>): Promise<void> {
  if (keyFile === undefined || keys.blocks.length > 0) return;
  const take = (block: KeyBlock): boolean => {
    // Two processes may have searched at the same time.
    const next = blockFrom(keys.blocks, block.first);
    return (next !== undefined && next.first <= block.last) || keys.addBlock(block);
  };
  await keyFile.read(state, field, take, breathe);
}

/** What this search finds out, for later processes: written in pieces. */
class StoredLater {
  readonly #box: MaildirBox;
  readonly #field: string;
  #blocks: KeyBlock[] = [];
  #bytes = 0;

  constructor(box: MaildirBox, field: string) {
    this.#box = box;
    this.#field = field;
  }

  add(block: KeyBlock): void {
    this.#blocks.push(block);
    this.#bytes += bytesOf(block);
    if (this.#bytes >= windowBytes) this.flush();
  }

  flush(): void {
    const { keyFile, state, isDeleted } = this.#box;
    if (!isDeleted) keyFile?.append(state, this.#field, this.#blocks, state.columns.length);
    this.#blocks = [];
    this.#bytes = 0;
  }
}

class KeyScan {
  readonly #box: MaildirBox;
  readonly #field: string;
  readonly #marker: string;
  /** A piece of the cache, and behind it the sections. */
  readonly #room = Buffer.allocUnsafeSlow(windowBytes * 2);
  readonly #window = this.#room.subarray(0, windowBytes);
  readonly #places = new Uint32Array(runLength * 2);
  /** Where the section of each message begins in the text of all: at the line end before it. */
  readonly #starts = new Uint32Array(runLength + 1);
  #list = -1;
  #isCovered = false;

  constructor(box: MaildirBox, field: string) {
    this.#box = box;
    this.#field = field;
    this.#marker = `\n${field.toUpperCase()}`;
  }

  /** @returns how many messages, from the first row on, have been looked at, and what was found out */
  run(first: number, last: number): { readonly block: KeyBlock | undefined; readonly count: number } {
    const { cache, state } = this.#box;
    const rows = [first, last] as const;
    const located = cache?.locate(state, { rows, sections: headerOnly }, this.#window, this.#places) ?? 0;
    const { text, count } = this.#gather(located);
    if (count === 0) return { block: undefined, count };
    const upper = text.toUpperCase();
    const { uid } = state.columns;
    const bounds = { first: uid[first] as number, last: uid[first + count - 1] as number };
    // Some letters become two: then nothing is where it was.
    const keys = upper.length === text.length ? this.#keysIn(upper, count) : [];
    const all = uid.subarray(first, first + count);
    const block = blockOf(bounds, keys, all);
    if (!oddLines.test(block.text)) return { block, count };
    const plain = keys.map((key) => (key === undefined || odd.test(key) ? undefined : key));
    return { block: blockOf(bounds, plain, all), count };
  }

  /** The sections one behind the other, a line end before each and behind the last. */
  #gather(located: number): { readonly text: string; readonly count: number } {
    const room = this.#room;
    const places = this.#places;
    const starts = this.#starts;
    let at = windowBytes;
    let count = 0;
    for (; count < located; count += 1) {
      const from = places[count * 2] as number;
      const to = places[count * 2 + 1] as number;
      const list = (room[from - 6] as number) | ((room[from - 5] as number) << 8);
      if (list !== this.#list) {
        this.#list = list;
        this.#isCovered = this.#box.cache?.covers(this.#box.state, list, [this.#field]) ?? false;
      }
      if (!this.#isCovered || at + to - from + 2 > room.length) break;
      starts[count] = at - windowBytes;
      room[at] = 0x0a;
      room.copyWithin(at + 1, from, to);
      at += 1 + to - from;
    }
    starts[count] = at - windowBytes;
    room[at] = 0x0a;
    return { text: room.toString('latin1', windowBytes, at + 1), count };
  }

  /** The key of each message; undefined: takes a closer look. */
  #keysIn(upper: string, count: number): (string | undefined)[] {
    const starts = this.#starts;
    const marker = this.#marker;
    const { length } = marker;
    const keys: (string | undefined)[] = [];
    let at = upper.indexOf(marker);
    for (let index = 0; index < count; index += 1) {
      const end = starts[index + 1] as number;
      let key: string | undefined = '';
      let fields = 0;
      for (; at >= 0 && at < end; at = upper.indexOf(marker, at + 1)) {
        const code = upper.charCodeAt(at + length);
        if (code === colon) {
          const lineEnd = upper.indexOf('\n', at + length);
          const from = at + length + 1;
          const to = upper.charCodeAt(lineEnd - 1) === carriageReturn ? lineEnd - 1 : lineEnd;
          key = upper.charCodeAt(from) === blank ? upper.slice(from + 1, to) : upper.slice(from, to);
          fields += 1;
          // Goes on in the next line; with several the count tells.
          if (isBlank(upper.charCodeAt(lineEnd + 1))) fields = 2;
        } else if (isBlank(code)) fields = 2;
      }
      keys.push(fields > 1 ? undefined : key);
    }
    return keys;
  }
}

function isBlank(code: number): boolean {
  return code === blank || code === 0x09;
}

function blockOf(bounds: Pick<KeyBlock, 'first' | 'last'>, keys: readonly (string | undefined)[], all: Uint32Array): KeyBlock {
  const uids = new Uint32Array(keys.length);
  const starts = new Uint32Array(keys.length);
  const known: string[] = [];
  let length = 0;
  for (let index = 0; index < keys.length; index += 1) {
    const key = keys[index];
    if (key === undefined) continue;
    uids[known.length] = all[index] as number;
    starts[known.length] = length;
    length += key.length + 1;
    known.push(key);
  }
  return { ...bounds, uids: uids.slice(0, known.length), starts: starts.slice(0, known.length), text: known.join('\n') };
}
