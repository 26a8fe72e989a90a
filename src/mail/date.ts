// Dates of message headers (RFC 5322 3.3 and 4.3, and what else is found there) and of IMAP (RFC 9051 date-time, date).

export interface MessageDate {
  /** ms since the epoch, UTC. */
  readonly ms: number;
  /** Offset east of UTC in minutes, as written; 0 when the zone is missing or unknown. */
  readonly zoneMinutes: number;
}

const monthNames = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const imapMonthNames = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const dayMs = 86_400_000;
const maxDateLength = 200;

/** Hours east of UTC of the names in RFC 5322 4.3 and a few that mailers made up. Military letters mean nothing (RFC 5322 4.3): UTC. */
const namedZones: Readonly<Record<string, number>> = {
  ut: 0,
  utc: 0,
  gmt: 0,
  z: 0,
  est: -5,
  edt: -4,
  cst: -6,
  cdt: -5,
  mst: -7,
  mdt: -6,
  pst: -8,
  pdt: -7,
  cet: 1,
  cest: 2,
  met: 1,
  mest: 2,
  bst: 1,
  wet: 0,
  west: 1,
  eet: 2,
  eest: 3,
  msk: 3,
  jst: 9,
  kst: 9,
};

/** Parses a Date field; undefined when no day can be made out of it. A missing time is midnight. */
export function parseMessageDate(text: string): MessageDate | undefined {
  const source = withoutComments(text.slice(0, maxDateLength));
  const iso = /^\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:[T\s]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?\s*(.*))?$/i.exec(source);
  if (iso !== null) {
    const [, year, month, day, hour = '0', minute = '0', second = '0', zone = ''] = iso;
    return build([Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)], zone);
  }
  const usual = /(\d{1,2})[\s-]+(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?[\s-]+(\d{2,4})\b,?(?:\s+(.*))?$/i.exec(source);
  if (usual !== null) {
    const [, day, month = '', year = '', rest = ''] = usual;
    return withTime(Number(day), month, year, rest);
  }
  // ctime: Fri Nov 21 09:55:06 [zone] 1997
  const ctime =
    /([a-z]{3})[a-z]*\.?\s+(\d{1,2}),?\s+(\d{1,2}:\d{2}(?::\d{2})?)\s+(?:([a-z]{1,5}|[+-]\d{4})\s+)?(\d{4})\s*([+-]\d{4})?/i.exec(source);
  if (ctime === null) return undefined;
  const [, month = '', day, time = '', zone = '', year = '', lateZone = ''] = ctime;
  return withTime(Number(day), month, year, `${time} ${zone === '' ? lateZone : zone}`);
}

function withoutComments(text: string): string {
  if (!text.includes('(')) return text.trim();
  let result = '';
  let depth = 0;
  for (let index = 0; index < text.length; index += 1) {
    const char = text.charAt(index);
    if (char === '(') depth += 1;
    else if (char === ')' && depth > 0) depth -= 1;
    else if (depth === 0) result += char;
    else if (char === '\\') index += 1;
  }
  return result.trim();
}

function withTime(day: number, monthName: string, yearText: string, rest: string): MessageDate | undefined {
  const month = monthNames.indexOf(monthName.toLowerCase());
  if (month === -1) return undefined;
  const time = /^(\d{1,2})[:.](\d{1,2})(?:[:.](\d{1,2}))?(?:[.,]\d+)?\s*(am|pm)?\s*(.*)$/i.exec(rest.trim());
  if (time === null) return build([fullYear(yearText), month, day, 0, 0, 0], rest);
  const [, hourText, minute, second = '0', half = '', zone = ''] = time;
  let hour = Number(hourText);
  if (half.toLowerCase() === 'pm' && hour < 12) hour += 12;
  if (half.toLowerCase() === 'am' && hour === 12) hour = 0;
  return build([fullYear(yearText), month, day, hour, Number(minute), Number(second)], zone);
}

/** RFC 5322 4.3: two digits below 50 are 20xx, other two and three digits count from 1900. */
function fullYear(text: string): number {
  const year = Number(text);
  if (text.length >= 4) return year;
  return text.length === 2 && year < 50 ? 2000 + year : 1900 + year;
}

type Fields = readonly [year: number, month: number, day: number, hour: number, minute: number, second: number];

function build([year, month, day, hour, minute, second]: Fields, zone: string): MessageDate | undefined {
  if (month < 0 || month > 11 || day < 1 || day > daysIn(year, month) || hour > 24 || minute > 59 || second > 60) return undefined;
  const zoneMinutes = parseZone(zone);
  const local = utcMs(year, month, day) + ((hour * 60 + minute) * 60 + second) * 1000;
  return { ms: local - zoneMinutes * 60_000, zoneMinutes };
}

function utcMs(year: number, month: number, day: number): number {
  // Date.UTC takes years below 100 for 19xx.
  return new Date(0).setUTCFullYear(year, month, day);
}

function daysIn(year: number, month: number): number {
  return Math.round((utcMs(year, month + 1, 1) - utcMs(year, month, 1)) / dayMs);
}

function parseZone(text: string): number {
  const numeric = /^(?:gmt|utc?)?\s*([+-])(\d{1,2}):?(\d{2})?/i.exec(text);
  if (numeric !== null) {
    const [, sign, hours, minutes = '0'] = numeric;
    const total = Number(hours) * 60 + Number(minutes);
    if (total >= 24 * 60) return 0;
    return sign === '-' && total > 0 ? -total : total;
  }
  const name = /^[a-z]+/i.exec(text)?.[0].toLowerCase();
  return name === undefined ? 0 : (namedZones[name] ?? 0) * 60;
}

/**
 * IMAP date-time without quotes: `17-Jul-1996 02:44:25 -0700`, the day padded with a space (RFC 9051 date-day-fixed).
 *
 * Years outside 0 to 9999 are shown as the nearest one that fits.
 */
export function formatInternalDate(ms: number, zoneMinutes = 0): string {
  const limited = Math.min(Math.max(ms + zoneMinutes * 60_000, Date.UTC(1000, 0, 1)), Date.UTC(9999, 11, 31, 23, 59, 59));
  const date = new Date(limited);
  const sign = zoneMinutes < 0 ? '-' : '+';
  const zone = Math.abs(zoneMinutes);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = String(date.getUTCDate()).padStart(2, ' ');
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  return `${day}-${imapMonthNames[date.getUTCMonth()] ?? ''}-${date.getUTCFullYear()} ${time} ${sign}${two(Math.floor(zone / 60))}${two(zone % 60)}`;
}

/** Parses IMAP date-time without quotes, strictly (RFC 9051 date-time); undefined when it is not one. */
export function parseInternalDate(text: string): MessageDate | undefined {
  const match = /^([ \d]\d)-([a-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/i.exec(text);
  if (match === null) return undefined;
  const [, day, month = '', year, hour, minute, second, sign, zoneHours, zoneMinutes] = match;
  if (Number(zoneMinutes) > 59 || Number(zoneHours) > 23) return undefined;
  const monthIndex = monthNames.indexOf(month.toLowerCase());
  return build([Number(year), monthIndex, Number(day), Number(hour), Number(minute), Number(second)], `${sign}${zoneHours}${zoneMinutes}`);
}

/** Parses IMAP date without quotes (`1-Feb-1994`) into days since 1970-01-01; undefined when it is not one. */
export function parseImapDay(text: string): number | undefined {
  const match = /^(\d{1,2})-([a-z]{3})-(\d{4})$/i.exec(text);
  if (match === null) return undefined;
  const [, day, month = '', year] = match;
  const date = build([Number(year), monthNames.indexOf(month.toLowerCase()), Number(day), 0, 0, 0], '');
  return date === undefined ? undefined : date.ms / dayMs;
}

/** The day written in a date, whatever its zone, in days since 1970-01-01: what SENTON and its like compare (RFC 9051 6.4.4). */
export function dayOf({ ms, zoneMinutes }: MessageDate): number {
  return Math.floor((ms + zoneMinutes * 60_000) / dayMs);
}
