// What one client said and heard lately, and what it knew when it said it: a violation is judged by that, long after the run that showed it.
import type { ClientView } from './view.js';

const keptExchanges = 20;
/** A FETCH of a mailbox has thousands of replies: of each exchange the first and the last of them. */
const keptLines = 12;
const maxLineLength = 240;
/** Of the last command. */
const maxLastLength = 4_000;
/** Of messages whose UIDs or sequence numbers follow each other. */
const shownRuns = 24;

interface Exchange {
  readonly sent: string;
  /** Before the command; undefined when no mailbox was selected. */
  readonly known: Known | undefined;
  readonly first: string[];
  readonly last: string[];
  leftOut: number;
}

/** The UIDs of a view by sequence number, 0 where the client was not told. */
interface Known {
  readonly name: string;
  readonly uids: Uint32Array;
}

export class Exchanges {
  readonly #kept: Exchange[] = [];

  /** A command, or several that are sent at once. */
  begin(sent: string, view: ClientView | undefined): void {
    const known = view === undefined ? undefined : { name: view.ledger.name, uids: Uint32Array.from(view.messages, ({ uid }) => uid) };
    const before = this.#kept.at(-1);
    if (before !== undefined) this.#kept.splice(-1, 1, { ...before, first: before.first.map(short), last: before.last.map(short) });
    this.#kept.push({ sent: short(sent), known, first: [], last: [], leftOut: 0 });
    if (this.#kept.length > keptExchanges) this.#kept.shift();
  }

  /** A line that came since. */
  hear(line: string): void {
    const exchange = this.#kept.at(-1);
    if (exchange === undefined) return;
    if (exchange.first.length < keptLines) exchange.first.push(cut(line, maxLastLength));
    else exchange.last.push(cut(line, maxLastLength));
    if (exchange.last.length <= keptLines) return;
    exchange.last.shift();
    exchange.leftOut += 1;
  }

  /** The last lines of both sides. */
  tail(lines: number): string {
    return this.#kept.flatMap(linesOf).slice(-lines).join('\n');
  }

  /**
   * All that is known of a failure: the command, the mailbox as the client knew it then, and what went before.
   * @param reason the UIDs it names are looked up
   */
  report(reason: string): string {
    const current = this.#kept.at(-1);
    if (current === undefined) return 'nothing was sent';
    const uids = uidsIn(reason);
    return [
      `the command: ${current.sent}`,
      `the mailbox when it was sent: ${current.known === undefined ? 'none was selected' : describe(current.known, uids)}`,
      `the last ${this.#kept.length} exchanges:`,
      ...this.#kept.flatMap(linesOf),
    ].join('\n');
  }
}

/** The UIDs that the text of a failure speaks of. */
export function uidsIn(reason: string): readonly number[] {
  const named = [...reason.matchAll(/\bUIDs? (\d+(?:[,:]\d+)*)/g)].flatMap((match) => (match[1] ?? '').split(/[,:]/).map(Number));
  return [...new Set(named)].filter((uid) => uid > 0);
}

/** Whether a line names the number, by itself or in a range. */
export function namesNumber(line: string, number: number): boolean {
  for (const [, first, last = first] of line.matchAll(/\b(\d+)(?::(\d+))?\b/g))
    if (Number(first) <= number && number <= Number(last)) return true;
  return false;
}

function short(line: string): string {
  return cut(line, maxLineLength);
}

function cut(line: string, maxLength: number): string {
  return line.length > maxLength ? `${line.slice(0, maxLength)}...` : line;
}

function linesOf({ sent, first, last, leftOut }: Exchange): string[] {
  const received = [...first, ...(leftOut > 0 ? [`  (${leftOut} more)`] : []), ...last];
  return [`> ${sent}`, ...received.map((line) => (line.startsWith('  (') ? line : `< ${line}`))];
}

/** `INBOX, 5 messages: 1:2 without UID, 3:5 are UID 7:9`, and where the UIDs in question stand. */
function describe({ name, uids }: Known, asked: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const [index, uid] of uids.entries()) {
    const run = runs.at(-1);
    const before = index === 0 ? undefined : uids[index - 1];
    if (run !== undefined && before !== undefined && (uid === 0 ? before === 0 : before !== 0 && uid === before + 1)) run[1] = index;
    else runs.push([index, index]);
  }
  const span = (first: number, last: number): string => (first === last ? `${first}` : `${first}:${last}`);
  const texts = runs.map(([first, last]) => {
    const uid = uids[first] ?? 0;
    return `${span(first + 1, last + 1)} ${uid === 0 ? 'without UID' : `UID ${span(uid, uid + last - first)}`}`;
  });
  const shown =
    texts.length <= 2 * shownRuns
      ? texts
      : [...texts.slice(0, shownRuns), `(${texts.length - 2 * shownRuns} more runs)`, ...texts.slice(-shownRuns)];
  const places = asked.map((uid) => {
    const index = uids.indexOf(uid);
    return `UID ${uid} ${index < 0 ? 'not known' : `is message ${index + 1}`}`;
  });
  return [`${name}, ${uids.length} messages`, shown.join(', '), ...places].filter((text) => text !== '').join('; ');
}
