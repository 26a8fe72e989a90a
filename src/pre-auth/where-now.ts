// The stamp in temporary failures: where and when to look in the log.
import { hostname } from 'node:os';

/** `[host:YYYY-MM-DD HH:MM:SS]` without brackets: where and when to look in the log. */
export function whereNow(): string {
  const now = new Date();
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  return `${hostname()}:${day} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}
