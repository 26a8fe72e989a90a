// The order of SORT (RFC 5256 3, RFC 5957 3).
import { compareKeys } from '#mail/collation.js';
import { FieldSet } from '#mail/header.js';
import { addressKey, displayKey, sentDateMs, subjectKey } from '#mail/sort-key.js';
import type { SortCriterion, SortKey } from '#protocol/imap/commands/sort.js';
import type { MailboxView } from '#storage/mailbox.js';
import type { MessageNeeds } from '#storage/types.js';
import { sortInSlices } from '#util/sort-in-slices.js';
import { firstFields, forEachPrepared } from './message-headers.js';
import type { Progress } from './work-progress.js';

export type SortKeys = readonly (string | number)[];

export interface SortEntry {
  readonly seq: number;
  readonly keys: SortKeys;
}

const fieldOf: Readonly<Record<SortKey, string | undefined>> = {
  ARRIVAL: undefined,
  SIZE: undefined,
  CC: 'cc',
  DATE: 'date',
  DISPLAYFROM: 'from',
  DISPLAYTO: 'to',
  FROM: 'from',
  SUBJECT: 'subject',
  TO: 'to',
};

/** @param seqs ascending @returns the same in order, with what they are sorted by; messages that are gone are left out */
export async function sortMessages(
  view: MailboxView,
  seqs: readonly number[],
  { criteria, progress }: { readonly criteria: readonly SortCriterion[]; readonly progress?: Progress },
  signal: AbortSignal,
): Promise<SortEntry[]> {
  const headers = [...new Set(criteria.flatMap(({ key }) => fieldOf[key] ?? []))];
  const uses = (...keys: SortKey[]): boolean => criteria.some(({ key }) => keys.includes(key));
  const needs: MessageNeeds = {
    ...(headers.length > 0 && { headers }),
    ...(uses('ARRIVAL', 'DATE') && { internalDate: true }),
    ...(uses('SIZE') && { size: true }),
  };
  const wanted = new FieldSet(headers);
  const entries: SortEntry[] = [];
  await forEachPrepared(
    view,
    seqs,
    needs,
    (seq) => {
      const fields = headers.length === 0 ? undefined : firstFields(view.headerFieldsAt(seq, headers), wanted);
      entries.push({ seq, keys: criteria.map(({ key }) => keyOf(view, seq, key, fields?.get(fieldOf[key] ?? ''))) });
    },
    signal,
    progress,
  );
  const compare = keyComparator(criteria);
  // RFC 5256 3: equal messages stay in mailbox order, REVERSE or not.
  return sortInSlices(entries, (a, b) => compare(a.keys, b.keys) || a.seq - b.seq, signal);
}

function keyOf(view: MailboxView, seq: number, key: SortKey, field: string | undefined): string | number {
  switch (key) {
    case 'ARRIVAL':
      return view.internalDateAt(seq);
    case 'SIZE':
      return view.sizeAt(seq);
    case 'DATE':
      return sentDateMs(field, view.internalDateAt(seq));
    case 'SUBJECT':
      return subjectKey(field);
    case 'DISPLAYFROM':
    case 'DISPLAYTO':
      return displayKey(field);
    case 'CC':
    case 'FROM':
    case 'TO':
      return addressKey(field);
  }
}

/** 0 for messages that only their place in the mailbox tells apart. */
export function keyComparator(criteria: readonly SortCriterion[]): (a: SortKeys, b: SortKeys) => number {
  const signs = criteria.map(({ isReverse }) => (isReverse ? -1 : 1));
  return (a, b) => {
    for (let index = 0; index < signs.length; index++) {
      const order = compareValues(a[index] ?? '', b[index] ?? '');
      if (order !== 0) return order * (signs[index] ?? 1);
    }
    return 0;
  };
}

function compareValues(a: string | number, b: string | number): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : compareKeys(String(a), String(b));
}
