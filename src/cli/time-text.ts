// Times as people at this machine read them, and as programs do.
import type { Cell } from './print/format.js';

const two = (value: number): string => String(value).padStart(2, '0');

/** `2026-11-22 04:18:46`, local time. */
export function dateTimeText(ms: number): string {
  const date = new Date(ms);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clockText(ms)}`;
}

/** `04:18:46`, local time. */
export function clockText(ms: number): string {
  const date = new Date(ms);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Whole seconds since the epoch, as Dovecot's process tables have them; JSON has ISO 8601, and null for never. */
export function unixTimeCell(ms: number | undefined): Cell {
  if (ms === undefined) return { shown: '0', json: null };
  return { shown: String(Math.floor(ms / 1000)), json: new Date(ms).toISOString() };
}

/** `2026-11-22 04:18:46`; JSON has ISO 8601. */
export function dateTimeCell(ms: number): Cell {
  return { shown: dateTimeText(ms), json: new Date(ms).toISOString() };
}
