// What happened to each message of a soak: what clients did with it, the names that its file had, what was killed at that time and what the log says.
//
// Told of messages that are not as they should be, after the soak; until then it is only noted.
import type { Attempt } from './soak-attempt.js';

export interface FileEvent {
  readonly atMs: number;
  readonly folder: 'cur' | 'new';
  readonly fileName: string;
  /** When it was looked at, which is a moment later. */
  readonly isThere: boolean;
}

interface Happening {
  readonly atMs: number;
  readonly text: string;
}

/** Where a story is put together from. */
export interface StorySources {
  readonly user: string;
  readonly files: readonly FileEvent[];
  /** Kills and reloads. */
  readonly disturbances: readonly Happening[];
  /** Lines begin with the time in seconds. */
  readonly log: string;
}

/** Around each event of the message. */
const beforeMs = 1_500;
const afterMs = 2_500;
const mostLogLines = 150;
const mostLineLength = 240;

export class SoakStories {
  readonly #notes = new Map<string, Happening[]>();

  note(token: string, text: string): void {
    const notes = this.#notes.get(token);
    const note = { atMs: Date.now(), text };
    if (notes === undefined) this.#notes.set(token, [note]);
    else notes.push(note);
  }

  /** Lines in order of time, then those of the log. */
  tell(token: string, { user, files, disturbances, log }: StorySources): string {
    const own = [
      ...(this.#notes.get(token) ?? []),
      ...files.map(({ atMs, folder, fileName, isThere }) => ({
        atMs,
        text: `${folder}/${fileName} ${isThere ? 'is there' : 'is gone'}`,
      })),
    ];
    const isNear = (fromMs: number, toMs = fromMs): boolean => own.some(({ atMs }) => toMs >= atMs - beforeMs && fromMs <= atMs + afterMs);
    const all = [...own, ...disturbances.filter(({ atMs }) => isNear(atMs))].sort((a, b) => a.atMs - b.atMs);
    const lines = log.split('\n').filter((line) => isNear(Number.parseInt(line, 10) * 1_000, Number.parseInt(line, 10) * 1_000 + 999));
    return [
      `the story of ${token} of ${user}:`,
      ...all.map(({ atMs, text }) => `  ${(atMs / 1_000).toFixed(3)} ${text}`),
      '  in the log:',
      ...linesAbout(
        user,
        own.map(({ text }) => text),
        lines,
      )
        .slice(-mostLogLines)
        .map((line) => `  ${line.slice(0, mostLineLength)}`),
    ].join('\n');
  }
}

/** Of the sessions that had to do with the message, by their ports, and of what went wrong or was saved for the user. */
function linesAbout(user: string, notes: readonly string[], lines: readonly string[]): readonly string[] {
  const ports = new Set(notes.flatMap((note) => portsIn(note) ?? []));
  const ofConnections = lines.filter((line) => ports.has(portsIn(line) ?? ''));
  const sessions = ofConnections.flatMap((line) => / session=([^\s,]+)/.exec(line)?.[1] ?? []);
  const isOfSession = (line: string): boolean => sessions.some((session) => line.includes(session));
  const isTrouble = (line: string): boolean => /: (Warning|Error|Fatal|Panic): /.test(line);
  const isOfUser = (line: string): boolean => line.includes(`(${user})`) && (isTrouble(line) || line.includes(': saved mail to '));
  const isOfMaster = (line: string): boolean => line.includes(' master: ') && isTrouble(line);
  return lines.filter((line) => isOfSession(line) || isOfUser(line) || isOfMaster(line));
}

function portsIn(text: string): string | undefined {
  const [, server, client] = /\blport=(\d+),? rport=(\d+)/.exec(text) ?? [];
  return server === undefined ? undefined : `${server} ${client}`;
}

/** How the log names a connection. */
export function nameOf({ kind, security, isDirect, port, serverPort }: Attempt): string {
  return `${isDirect ? 'direct ' : ''}${kind} ${security} lport=${serverPort} rport=${port}`;
}
