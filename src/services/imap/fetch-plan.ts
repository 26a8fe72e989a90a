// FETCH items compiled once per command: what must be prepared, and one writer for each item.
import { DateTimeTexts } from '#protocol/imap/date.js';
import { encodeText } from '#protocol/imap/encoder.js';
import type { FetchItem, SimpleItem } from '#protocol/imap/fetch-item.js';
import { emailIdOf, threadIdHeaders, threadIdOf } from '#storage/object-id.js';
import type { MessageNeeds } from '#storage/types.js';
import type { OctetBlocks } from '#util/octet-blocks.js';
import type { Session } from './session.js';

/** Text of an item whose value needs no waiting: `UID 7`. */
export type TextOf = (seq: number) => string;

/** Writes such an item. */
export type PutItem = (out: OctetBlocks, seq: number) => void;

/** An item whose value is read from the message. */
export type ContentItem = FetchItem & { readonly kind: 'section' | 'binary' | 'binary-size' };

export interface FetchPlan {
  /** In the order of the reply. */
  readonly steps: readonly ({ readonly text: TextOf } | { readonly content: ContentItem })[];
  /** All steps as octets, when none needs waiting. */
  readonly puts: readonly PutItem[];
  /** All steps are text: the loop need not wait. */
  readonly isPlain: boolean;
  /** What is read from the message is all of it. */
  readonly readsWhole: boolean;
  readonly needs: MessageNeeds;
  readonly hasNeeds: boolean;
  readonly setsSeen: boolean;
  /** In the order of the reply, which the fast ways of writing many replies take from here; and for adding what a change of \Seen must report. */
  readonly includes: ReadonlySet<SimpleItem>;
}

/** Time zones change their clocks at quarters of an hour at most. */
const quarterMs = 900_000;
let lastQuarter = Number.NaN;
let lastZone = 0;

/** East of UTC; dates of messages that follow each other are often close. */
export function zoneMinutesAt(ms: number): number {
  const quarter = Math.floor(ms / quarterMs);
  if (quarter !== lastQuarter) {
    lastQuarter = quarter;
    lastZone = -new Date(ms).getTimezoneOffset();
  }
  return lastZone;
}

/** Header fields of the message itself come from the cache, everything else from the message. */
function cachedFields(item: FetchItem): readonly string[] | undefined {
  if (item.kind !== 'section' || item.section.path.length > 0 || item.section.part.kind !== 'fields') return undefined;
  return item.section.part.names;
}

export function planFetch(session: Session, items: readonly FetchItem[], isUid: boolean, usesModSeq: boolean): FetchPlan {
  const wanted: FetchItem[] = [...items];
  const includes = new Set<SimpleItem>();
  const hasUid = items.some((item) => item.kind === 'simple' && item.name === 'UID');
  // RFC 9051 6.4.9: UID FETCH always returns the UID; UIDFETCH replies begin with it.
  if (isUid && !hasUid && !session.has('UIDONLY')) wanted.unshift(addItem(includes, 'UID'));
  for (const item of items) if (item.kind === 'simple') includes.add(item.name);
  if (usesModSeq && !includes.has('MODSEQ')) wanted.push(addItem(includes, 'MODSEQ'));
  const needs = needsOf(wanted, includes);
  const steps = wanted.map((item) => stepOf(session, item));
  const isPlain = steps.every((step) => 'text' in step);
  return {
    steps,
    puts: isPlain ? wanted.map((item, index) => putterOf(session, item, steps[index] as { readonly text: TextOf })) : [],
    isPlain,
    readsWhole: !isPlain && steps.every((step) => 'text' in step || isWhole(step.content)),
    needs: needs ?? noNeeds,
    hasNeeds: needs !== undefined,
    setsSeen: wanted.some((item) => (item.kind === 'section' || item.kind === 'binary') && !item.isPeek) && !session.view.isReadOnly,
    includes,
  };
}

function addItem(includes: Set<SimpleItem>, name: SimpleItem): FetchItem {
  includes.add(name);
  return { kind: 'simple', name };
}

/** Simple items whose values have to be prepared. */
const neededBy: Readonly<Partial<Record<SimpleItem, Exclude<keyof MessageNeeds, 'headers'>>>> = {
  'RFC822.SIZE': 'size',
  INTERNALDATE: 'internalDate',
  SAVEDATE: 'saveDate',
  ENVELOPE: 'envelope',
  BODY: 'body',
  BODYSTRUCTURE: 'bodyStructure',
};
const noNeeds: MessageNeeds = {};

/** @returns undefined when nothing has to be prepared */
function needsOf(wanted: readonly FetchItem[], includes: ReadonlySet<SimpleItem>): MessageNeeds | undefined {
  const needs: { -readonly [Need in keyof MessageNeeds]: MessageNeeds[Need] } = {};
  let hasNeeds = false;
  let headers: Set<string> | undefined;
  for (const item of wanted) {
    const need = item.kind === 'preview' ? 'preview' : item.kind === 'simple' ? neededBy[item.name] : undefined;
    if (need !== undefined) {
      needs[need] = true;
      hasNeeds = true;
    }
    const names = item.kind === 'section' ? cachedFields(item) : undefined;
    if (names !== undefined) headers = added(headers, names);
  }
  if (includes.has('THREADID')) headers = added(headers, threadIdHeaders);
  if (headers === undefined || headers.size === 0) return hasNeeds ? needs : undefined;
  needs.headers = [...headers];
  return needs;
}

function added(known: Set<string> | undefined, names: readonly string[]): Set<string> {
  const all = known ?? new Set();
  for (const name of names) all.add(name);
  return all;
}

function isWhole(item: ContentItem): boolean {
  return item.kind === 'section' && item.section.path.length === 0 && item.section.part.kind === 'all';
}

function stepOf(session: Session, item: FetchItem): { readonly text: TextOf } | { readonly content: ContentItem } {
  switch (item.kind) {
    case 'simple':
      return { text: simpleText(session, item.name) };
    case 'preview':
      return { text: (seq) => `PREVIEW ${encodeText(session.view.previewAt(seq), session.isUtf8)}` };
    case 'section': {
      const names = cachedFields(item);
      if (names === undefined) return { content: item };
      return { text: headerText(session, item, names) };
    }
    case 'binary':
    case 'binary-size':
      return { content: item };
  }
}

/** Octets of an item whose text is `text`, those that clients ask of many messages without a string of their value. */
function putterOf(session: Session, item: FetchItem, { text }: { readonly text: TextOf }): PutItem {
  const { view } = session;
  if (item.kind === 'section') {
    const names = cachedFields(item);
    return names === undefined || item.partial !== undefined ? putText(text) : putHeader(session, item.label, names);
  }
  if (item.kind !== 'simple') return putText(text);
  switch (item.name) {
    case 'UID':
      return putNumber('UID ', (seq) => view.uidAt(seq));
    case 'RFC822.SIZE':
      return putNumber('RFC822.SIZE ', (seq) => view.sizeAt(seq));
    case 'ENVELOPE':
      return putOctets('ENVELOPE ', (seq) => view.envelopeAt(seq));
    case 'BODY':
      return putOctets('BODY ', (seq) => view.bodyAt(seq));
    case 'BODYSTRUCTURE':
      return putOctets('BODYSTRUCTURE ', (seq) => view.bodyStructureAt(seq));
    default:
      return putText(text);
  }
}

function putText(text: TextOf): PutItem {
  return (out, seq) => out.text(text(seq));
}

function putNumber(label: string, read: (seq: number) => number): PutItem {
  return (out, seq) => {
    out.text(label);
    out.decimal(read(seq));
  };
}

function putOctets(label: string, read: (seq: number) => Buffer): PutItem {
  return (out, seq) => {
    const value = read(seq);
    out.text(label);
    out.copy(value, 0, value.length);
  };
}

function putHeader({ counters, view }: Session, label: string, names: readonly string[]): PutItem {
  return (out, seq) => {
    const fields = view.headerFieldsAt(seq, names);
    counters.fetchHdrCount += 1;
    counters.fetchHdrBytes += fields.length + 2;
    out.text(label);
    out.text(' {');
    out.decimal(fields.length + 2);
    out.text('}\r\n');
    out.copy(fields, 0, fields.length);
    out.text('\r\n');
  };
}

function headerText(session: Session, item: FetchItem & { kind: 'section' }, names: readonly string[]): TextOf {
  const { counters, view } = session;
  const { label, partial } = item;
  return (seq) => {
    const fields = view.headerFieldsAt(seq, names);
    counters.fetchHdrCount += 1;
    counters.fetchHdrBytes += fields.length + 2;
    let text = `${fields.toString('latin1')}\r\n`;
    if (partial !== undefined) text = text.slice(partial.offset, partial.offset + partial.length);
    return `${label} {${text.length}}\r\n${text}`;
  };
}

function dateText(label: string, msAt: (seq: number) => number): TextOf {
  const texts = new DateTimeTexts();
  return (seq) => {
    const ms = msAt(seq);
    return `${label} ${texts.format(ms, zoneMinutesAt(ms))}`;
  };
}

export function simpleText(session: Session, name: SimpleItem): TextOf {
  const { view, flagText } = session;
  switch (name) {
    case 'FLAGS':
      return (seq) => `FLAGS ${flagText.list(view.systemFlagsAt(seq), view.keywordsAt(seq))}`;
    case 'UID':
      return (seq) => `UID ${view.uidAt(seq)}`;
    case 'MODSEQ':
      return (seq) => `MODSEQ (${view.modSeqAt(seq)})`;
    case 'RFC822.SIZE':
      return (seq) => `RFC822.SIZE ${view.sizeAt(seq)}`;
    case 'INTERNALDATE':
      return dateText('INTERNALDATE', (seq) => view.internalDateAt(seq));
    case 'SAVEDATE':
      return dateText('SAVEDATE', (seq) => view.saveDateAt(seq));
    case 'ENVELOPE':
      return (seq) => `ENVELOPE ${view.envelopeAt(seq).toString('latin1')}`;
    case 'BODY':
      return (seq) => `BODY ${view.bodyAt(seq).toString('latin1')}`;
    case 'BODYSTRUCTURE':
      return (seq) => `BODYSTRUCTURE ${view.bodyStructureAt(seq).toString('latin1')}`;
    case 'EMAILID':
      return (seq) => `EMAILID (${emailIdOf(view.guidAt(seq))})`;
    case 'THREADID':
      return (seq) => `THREADID (${threadIdOf(view.headerFieldsAt(seq, threadIdHeaders), view.guidAt(seq))})`;
  }
}
