// Lines for the system logger (RFC 3164 as local loggers write it): `<22>Jul  1 12:00:00 roost[123]: imap(bob)<123><...>: Logged out`.
import { formatLine, formatTimestamp, type LogLevel } from './format.js';

const severities: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, info: 6, debug: 7 };

/** Names of syslog(3); `local0` to `local7` follow. */
const facilities: readonly string[] = [
  'kern',
  'user',
  'mail',
  'daemon',
  'auth',
  'syslog',
  'lpr',
  'news',
  'uucp',
  'cron',
  'authpriv',
  'ftp',
];
const firstLocal = 16;

/** Longer ones are cut by some loggers and refused by others. */
const maxTextBytes = 8_000;

/** @returns undefined for a name that syslog does not know */
export function facilityCode(name: string): number | undefined {
  const local = /^local([0-7])$/.exec(name);
  if (local !== null) return firstLocal + Number(local[1]);
  const at = facilities.indexOf(name);
  return at < 0 ? undefined : at;
}

export interface SyslogOptions {
  /** `mail`; an unknown one is `mail`. */
  readonly facility: string;
  /** Program name in front of each line. */
  readonly ident: string;
  /** Sends one datagram without waiting. @returns whether it was taken */
  readonly send: (text: string) => boolean;
}

export class Syslog {
  readonly #facility: number;
  readonly #ident: string;
  readonly #send: (text: string) => boolean;

  constructor({ facility, ident, send }: SyslogOptions) {
    this.#facility = facilityCode(facility) ?? 2;
    this.#ident = ident;
    this.#send = send;
  }

  /**
   * Sends one of our JSON lines; a stack of an error follows in datagrams of its own.
   * @returns false when the logger took not all of it
   */
  write(json: string, level: LogLevel, at = new Date()): boolean {
    const text = formatLine(json, '') ?? json;
    const pid = /"pid":(\d+)/.exec(json)?.[1] ?? String(process.pid);
    const head = `<${this.#facility * 8 + severities[level]}>${formatTimestamp('%b %e %H:%M:%S', at)} ${this.#ident}[${pid}]: `;
    // As Dovecot's: the level is in the priority, and named in the text unless it is the usual one.
    const lines = (level === 'info' ? text.replace('Info: ', '') : text).split('\n');
    return lines.every((line) => this.#send(head + cut(line)));
  }
}

function cut(text: string): string {
  return Buffer.byteLength(text) <= maxTextBytes ? text : Buffer.from(text).toString('utf8', 0, maxTextBytes);
}
