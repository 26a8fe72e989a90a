// What `prepare` makes ready for a slice of messages: structures in wire form, header fields, previews.
import { FieldSet, selectFields } from '#mail/header.js';
import type { MimePart } from '#mail/mime-part.js';
import { parseStructure } from '#mail/mime-tree.js';
import { previewOf } from '#mail/preview.js';
import { body, bodyStructure, envelope } from '#mail/wire.js';
import { Slicer } from '#util/deadline.js';
import { StorageError } from '../errors.js';
import { type CachedMessage, emptyCachedMessage, sectionKind } from '../index/cache-record.js';
import type { MessageReader } from '../mailbox.js';
import type { MessageNeeds } from '../types.js';
import type { MaildirBox } from './box.js';
import { DateNotes, eachLimit, filesInFlight, openReader, peekMessage } from './message-files.js';
import { maxQuickBytes } from './quick-read.js';
import { decodeStructure, encodeStructure } from './structure-text.js';
import { type Contents, Summaries } from './summaries.js';

const noNames: readonly string[] = [];
const wholeBytes = 1024 * 1024;
const headerFirstBytes = 16 * 1024;
/** Headers with more in the wanted fields than this are read from the file each time. */
const maxCachedHeaderBytes = 64 * 1024;
const maxHeaderBytes = 10 * 1024 * 1024;

export function needsContents(needs: MessageNeeds): boolean {
  return (
    needs.envelope === true || needs.body === true || needs.bodyStructure === true || needs.headers !== undefined || needs.preview === true
  );
}

/** @returns by UID; those not in it are gone */
export async function loadContents(
  box: MaildirBox,
  uids: readonly number[],
  needs: MessageNeeds,
  signal: AbortSignal,
): Promise<Map<number, Contents>> {
  const { state, cache } = box;
  if (cache !== undefined) await cache.catchUp(state);
  if (needs.headers !== undefined) cache?.used(state, needs.headers);
  const found = cache === undefined ? new Map<number, CachedMessage>() : await cache.find(state, uids, sectionsFor(needs));
  const loaded = new Map<number, Contents>();
  const missing: number[] = [];
  for (const uid of uids) {
    const message = found.get(uid);
    const contents = message === undefined ? undefined : fromCache(box, message, needs);
    if (contents === undefined) missing.push(uid);
    else loaded.set(uid, contents);
  }
  if (missing.length === 0) return loaded;
  // What else is known of them is not written again.
  const cached = cache === undefined || found.size === 0 ? found : await cache.find(state, missing);
  const list = cache?.learn(state, needs.headers ?? []);
  const order: ReadOrder = {
    needs,
    list,
    fields: list === undefined ? undefined : new FieldSet(state.cacheNames.get(list) ?? []),
  };
  const learned = new Map<number, CachedMessage>();
  const take = (uid: number, { contents, news }: Described): void => {
    loaded.set(uid, contents);
    learned.set(uid, news);
  };
  const slicer = new Slicer();
  const others: number[] = [];
  const summaries = new Summaries(needs, list, (list === undefined ? undefined : state.cacheNames.get(list)) ?? noNames);
  const dates = needs.internalDate === true || needs.saveDate === true ? new DateNotes(box) : undefined;
  for (const uid of missing) {
    const row = needs.preview === true ? -1 : box.state.columns.rowOf(uid);
    const wantsDates = row >= 0 && dates?.isMissing(row) === true;
    const bytes = row < 0 || box.state.columns.isDead(row) ? undefined : peekMessage(box, row, wantsDates ? dates?.times : undefined);
    if (wantsDates && bytes !== undefined) dates?.take(uid);
    const known = cached.get(uid);
    if (bytes === undefined) others.push(uid);
    else if (known === undefined) loaded.set(uid, summaries.add(uid, bytes));
    else take(uid, describeWhole(bytes, order, known));
    if (slicer.isDue) await slicer.pause();
    signal.throwIfAborted();
  }
  dates?.save();
  await eachLimit(others, filesInFlight, async (uid) => {
    signal.throwIfAborted();
    try {
      const reader = await openReader(box, uid, signal);
      try {
        take(uid, await readContents(reader, order, cached.get(uid) ?? emptyCachedMessage()));
      } finally {
        await reader.close();
      }
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'expunged') throw error;
    }
  });
  if (cache !== undefined && box.state === state) {
    cache.addRecords(state, summaries.take());
    cache.add(state, new Map([...learned].sort(([a], [b]) => a - b)));
    box.saveCachePositions();
  }
  return loaded;
}

/** The MIME structure of a message, if the cache has it. */
export async function cachedStructure(box: MaildirBox, uid: number): Promise<MimePart | undefined> {
  const { state, cache } = box;
  if (cache === undefined) return undefined;
  await cache.catchUp(state);
  const tree = (await cache.find(state, [uid])).get(uid)?.tree;
  return tree === undefined ? undefined : decodeStructure(tree);
}

/** Keeps a structure that was worked out for a body section. */
export function cacheStructure(box: MaildirBox, uid: number, structure: MimePart): void {
  const tree = treeOf(structure);
  if (tree === undefined) return;
  const message = { ...emptyCachedMessage(), tree, body: body(structure), bodyStructure: bodyStructure(structure) };
  box.cache?.add(box.state, new Map([[uid, message]]));
}

/** Only of messages that are not read as a whole in any case: for others, finding it here would take longer than finding it there. */
function treeOf(structure: MimePart): Buffer | undefined {
  return structure.bodyEnd <= maxQuickBytes ? undefined : encodeStructure(structure);
}

function sectionsFor(needs: MessageNeeds): number {
  let wanted = 0;
  if (needs.envelope === true) wanted |= 1 << sectionKind.envelope;
  if (needs.body === true) wanted |= 1 << sectionKind.body;
  if (needs.bodyStructure === true) wanted |= 1 << sectionKind.bodyStructure;
  if (needs.headers !== undefined) wanted |= 1 << sectionKind.header;
  if (needs.preview === true) wanted |= 1 << sectionKind.preview;
  return wanted;
}

/** @returns undefined when something needed is missing */
function fromCache(box: MaildirBox, message: CachedMessage, needs: MessageNeeds): Contents | undefined {
  if (needs.envelope === true && message.envelope === undefined) return undefined;
  if (needs.body === true && message.body === undefined) return undefined;
  if (needs.bodyStructure === true && message.bodyStructure === undefined) return undefined;
  if (needs.preview === true && message.preview === undefined) return undefined;
  if (needs.headers !== undefined) {
    if (message.header === undefined || box.cache?.covers(box.state, message.header.names, needs.headers) !== true) return undefined;
  }
  return {
    envelope: message.envelope,
    body: message.body,
    bodyStructure: message.bodyStructure,
    header: message.header?.bytes,
    preview: message.preview?.toString('utf8'),
  };
}

interface ReadOrder {
  readonly needs: MessageNeeds;
  /** Number of the list of header names that new records hold, and the names. */
  readonly list: number | undefined;
  readonly fields: FieldSet | undefined;
}

interface Described {
  readonly contents: Contents;
  /** What is worth keeping. */
  readonly news: CachedMessage;
}

function needsStructure(needs: MessageNeeds): boolean {
  return needs.body === true || needs.bodyStructure === true || needs.preview === true;
}

/** Reads what is needed and not known. */
async function readContents(reader: MessageReader, order: ReadOrder, known: CachedMessage): Promise<Described> {
  const { needs } = order;
  if (!needsStructure(needs)) return describe({ header: await readHeader(reader), structure: undefined, preview: undefined }, order, known);
  const { header, structure } = await readStructure(reader);
  const preview = needs.preview === true ? await previewOf(reader, structure) : undefined;
  return describe({ header, structure, preview }, order, known);
}

/** The same for a message that is in memory for this moment, without a preview. */
function describeWhole(bytes: Buffer, order: ReadOrder, known: CachedMessage): Described {
  const structure = needsStructure(order.needs) ? parseStructure(bytes) : undefined;
  const end = structure === undefined ? headerEnd(bytes) : structure.bodyStart;
  const header = end < 0 ? bytes : bytes.subarray(0, end);
  const { contents, news } = describe({ header, structure, preview: undefined }, order, known);
  // Everything else was made anew.
  if (contents.header !== undefined) contents.header = Buffer.from(contents.header);
  if (news.header !== undefined) news.header = { names: news.header.names, bytes: Buffer.from(news.header.bytes) };
  return { contents, news };
}

interface ReadParts {
  readonly header: Buffer;
  readonly structure: MimePart | undefined;
  readonly preview: string | undefined;
}

function describe({ header, structure, preview }: ReadParts, { needs, list, fields }: ReadOrder, known: CachedMessage): Described {
  // A header read for one thing is used for all: clients ask for the rest soon.
  const selected = fields === undefined ? undefined : selectFields(header, fields);
  const news: CachedMessage = {
    envelope: known.envelope === undefined ? envelope(header) : undefined,
    body: structure === undefined || known.body !== undefined ? undefined : body(structure),
    bodyStructure: structure === undefined || known.bodyStructure !== undefined ? undefined : bodyStructure(structure),
    tree: structure === undefined || known.tree !== undefined ? undefined : treeOf(structure),
    preview: preview === undefined ? undefined : Buffer.from(preview),
    header:
      list === undefined || selected === undefined || selected.length > maxCachedHeaderBytes || known.header?.names === list
        ? undefined
        : { names: list, bytes: selected },
  };
  const contents: Contents = {
    envelope: news.envelope ?? known.envelope,
    body: news.body ?? known.body,
    bodyStructure: news.bodyStructure ?? known.bodyStructure,
    header: needs.headers === undefined ? undefined : header,
    preview,
  };
  return { contents, news };
}

async function readStructure(reader: MessageReader): Promise<{ readonly header: Buffer; readonly structure: MimePart }> {
  if (reader.size <= wholeBytes) {
    const bytes = await reader.read(0, reader.size);
    const structure = parseStructure(bytes);
    return { header: bytes.subarray(0, structure.bodyStart), structure };
  }
  const structure = await reader.structure();
  return { header: await reader.read(0, Math.min(structure.bodyStart, maxHeaderBytes)), structure };
}

/** The header with the empty line, read without the rest of the message. */
export async function readHeader(reader: MessageReader): Promise<Buffer> {
  for (let length = headerFirstBytes; ; length *= 4) {
    const bytes = await reader.read(0, Math.min(length, maxHeaderBytes));
    const end = headerEnd(bytes);
    if (end >= 0) return bytes.subarray(0, end);
    if (bytes.length >= reader.size || bytes.length >= maxHeaderBytes) return bytes;
  }
}

/** Behind the empty line; -1. */
function headerEnd(bytes: Buffer): number {
  if (bytes[0] === 0x0a) return 1;
  if (bytes[0] === 0x0d && bytes[1] === 0x0a) return 2;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    if (bytes[at + 1] === 0x0a) return at + 2;
    if (bytes[at + 1] === 0x0d && bytes[at + 2] === 0x0a) return at + 3;
  }
  return -1;
}

/** Fields by name, in message order. A copy. */
export function fieldsOf(header: Buffer, names: readonly string[]): Buffer {
  return Buffer.from(selectFields(header, names));
}
