// Dates of the IMAP grammar (RFC 9051 9): date-time of APPEND and INTERNALDATE, date of SEARCH. No clock, no time zone database.

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
const msPerDay = 86_400_000;

function monthIndex(name: string): number {
  const lower = name.toLowerCase();
  return months.findIndex((month) => month.toLowerCase() === lower);
}

/** ms of a day's start in UTC, undefined when there is no such day. */
function utcDay(year: number, month: number, day: number): number | undefined {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return date.getUTCMonth() === month && date.getUTCDate() === day ? date.getTime() : undefined;
}

/** `17-Jul-1996 02:44:25 -0700` (day may be padded with a blank) to ms since the epoch; undefined when it is none. */
export function parseDateTime(text: string): number | undefined {
  const match = /^([ \d]?\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)$/.exec(text);
  if (match === null) return undefined;
  const [, day, month, year, hours, minutes, seconds, sign, zoneHours, zoneMinutes] = match;
  const start = utcDay(Number(year), monthIndex(month ?? ''), Number(day));
  if (start === undefined || Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 60 || Number(zoneMinutes) > 59)
    return undefined;
  const zone = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000 * (sign === '-' ? -1 : 1);
  return start + ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000 - zone;
}

/** `1-Feb-1994` to days since 1970-01-01; undefined when it is none. */
export function parseDay(text: string): number | undefined {
  const match = /^(\d{1,2})-([A-Za-z]{3})-(\d{4})$/.exec(text);
  if (match === null) return undefined;
  const start = utcDay(Number(match[3]), monthIndex(match[2] ?? ''), Number(match[1]));
  return start === undefined ? undefined : start / msPerDay;
}

/**
 * ms since the epoch to `"17-Jul-1996 02:44:25 +0000"`, quotes included.
 * @param zoneMinutes east of UTC
 */
export function formatDateTime(ms: number, zoneMinutes = 0): string {
  return new DateTimeTexts().format(ms, zoneMinutes);
}

/** Formats many dates: what is the same as in the one before is kept. */
export class DateTimeTexts {
  #day = Number.NaN;
  #dayText = '';
  #zone = Number.NaN;
  #zoneText = '';

  /** As `formatDateTime`. */
  format(ms: number, zoneMinutes: number): string {
    const local = ms + zoneMinutes * 60_000;
    const day = Math.floor(local / msPerDay);
    if (day !== this.#day) {
      this.#day = day;
      this.#dayText = formatDay(day * msPerDay);
    }
    if (zoneMinutes !== this.#zone) {
      this.#zone = zoneMinutes;
      const zone = Math.abs(zoneMinutes);
      this.#zoneText = `${zoneMinutes < 0 ? '-' : '+'}${two(Math.floor(zone / 60))}${two(zone % 60)}`;
    }
    const seconds = Math.floor((local - day * msPerDay) / 1000);
    const minutes = Math.floor(seconds / 60);
    return `"${this.#dayText} ${two(Math.floor(minutes / 60))}:${two(minutes % 60)}:${two(seconds % 60)} ${this.#zoneText}"`;
  }
}

function formatDay(ms: number): string {
  const date = new Date(ms);
  const year = String(Math.min(Math.max(date.getUTCFullYear(), 0), 9999)).padStart(4, '0');
  return `${two(date.getUTCDate())}-${months[date.getUTCMonth()]}-${year}`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
