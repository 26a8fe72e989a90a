// Dates, sizes and intervals in search queries.
//
// A date is `1-Jan-2020`, `2020-01-01`, an interval that counts back from now (`2d`, `1 week`), or a UNIX timestamp. The first two mean whole
// days, the others points in time: `since 2h` is not `since today`.
import { parseSize, parseTime } from '#config/value.js';
import { parseImapDay } from '#mail/date.js';
import type { SearchQuery } from '#storage/search.js';
import { QueryError } from './query-error.js';

export type DateForm = 'since' | 'before' | 'on';

const dayMs = 86_400_000;

export function parseDate(text: string, what: 'internal' | 'sent' | 'save', form: DateForm, nowMs: number): SearchQuery {
  const day = dayOf(text);
  if (day !== undefined) return dayQuery(day, what, form);
  const ms = timeOf(text, nowMs);
  if (ms === undefined) throw new QueryError(`Invalid search date parameter: ${text}`);
  // A point in time is a second at best; "on" can only mean its day.
  if (form === 'on') return dayQuery(localDayOf(ms), what, 'on');
  return {
    kind: `${what}-time`,
    fromMs: form === 'since' ? ms : undefined,
    beforeMs: form === 'before' ? ms : undefined,
  };
}

function dayQuery(day: number, what: 'internal' | 'sent' | 'save', form: DateForm): SearchQuery {
  return {
    kind: `${what}-date`,
    fromDay: form === 'before' ? undefined : day,
    beforeDay: form === 'before' ? day : form === 'on' ? day + 1 : undefined,
  };
}

/** Days since 1970-01-01. */
function dayOf(text: string): number | undefined {
  const [, year, month, date] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) ?? [];
  if (year === undefined) return /^\d{1,2}-[a-z]{3}-\d{4}$/i.test(text) ? parseImapDay(text) : undefined;
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(date));
  const isReal = new Date(ms).toISOString().startsWith(text);
  return isReal ? ms / dayMs : undefined;
}

function timeOf(text: string, nowMs: number): number | undefined {
  if (/^\d{1,12}$/.test(text)) return Number(text) * 1000;
  const interval = parseTime(text);
  if (interval.kind !== 'value' || typeof interval.value !== 'number' || !Number.isFinite(interval.value)) return undefined;
  return nowMs - interval.value;
}

function localDayOf(ms: number): number {
  return Math.floor((ms - new Date(ms).getTimezoneOffset() * 60_000) / dayMs);
}

/** `1024`, `50k`, `5M`. */
export function parseOctets(text: string): number {
  const parsed = parseSize(text);
  if (parsed.kind !== 'value' || typeof parsed.value !== 'number' || !Number.isFinite(parsed.value)) {
    throw new QueryError(`Invalid size: ${text}`);
  }
  return parsed.value;
}

/** Seconds, or an interval with its unit. */
export function parseSeconds(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  const interval = parseTime(text);
  if (interval.kind !== 'value' || typeof interval.value !== 'number' || !Number.isFinite(interval.value)) {
    throw new QueryError(`Invalid search interval parameter: ${text}`);
  }
  return Math.floor(interval.value / 1000);
}

/** A point in time, ms since the epoch; a whole day means its beginning. */
export function parsePoint(text: string, nowMs: number): number {
  const day = dayOf(text);
  const ms = day === undefined ? timeOf(text, nowMs) : startOfDay(day);
  if (ms === undefined) throw new QueryError(`Invalid date: ${text}`);
  return ms;
}

function startOfDay(day: number): number {
  const date = new Date(day * dayMs);
  return new Date(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()).getTime();
}
