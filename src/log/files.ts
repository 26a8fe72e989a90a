// Where log lines go: files (JSON unless text is asked for), a terminal (text) or the system logger (text). Lines of children pass through as whole chunks; a line is
// looked into only when it must become text or when levels go to different files.
import { closeSync, openSync, writeSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { formatLine, type LogLevel, levelOf } from './format.js';
import type { Syslog } from './syslog.js';

/** In place of a path: the system logger. */
export const syslogTarget = 'syslog';

export interface LogTargets {
  /** Absolute paths, or `syslogTarget`; undefined is standard error. Warnings go with errors. */
  readonly errorPath: string | undefined;
  readonly infoPath: string | undefined;
  readonly debugPath: string | undefined;
  /** `auto`: text on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'text' | 'json';
  /** strftime pattern in front of text lines. */
  readonly timestamp: string;
}

/** A line that a child wrote and did not end within this many octets is cut. */
const maxLineBytes = 64 * 1024;
const newline = 0x0a;
const openBrace = 0x7b;
const standardError = 2;

interface Output {
  readonly path: string | undefined;
  fd: number;
  readonly isText: boolean;
  /** Gets the lines; those it does not take go to the descriptor. */
  readonly syslog: Syslog | undefined;
}

/** The open log files. One owner writes: the master. */
export class LogFiles {
  readonly #timestamp: string;
  readonly #outputs: ReadonlyMap<string | undefined, Output>;
  readonly #byLevel: Readonly<Record<LogLevel, Output>>;

  /**
   * @param syslog for `syslogTarget`; without one standard error takes its place
   * @throws the system error when a file cannot be opened
   */
  constructor(targets: LogTargets, isTerminal: boolean, syslog?: Syslog) {
    this.#timestamp = targets.timestamp;
    const outputs = new Map<string | undefined, Output>();
    const outputFor = (path: string | undefined): Output => {
      const known = outputs.get(path);
      if (known !== undefined) return known;
      const isFile = path !== undefined && path !== syslogTarget;
      const isText = targets.format === 'text' || (targets.format === 'auto' && !isFile && isTerminal);
      const output = {
        path: isFile ? path : undefined,
        fd: isFile ? openLog(path) : standardError,
        isText,
        syslog: path === syslogTarget ? syslog : undefined,
      };
      outputs.set(path, output);
      return output;
    };
    const error = outputFor(targets.errorPath);
    const info = outputFor(targets.infoPath);
    this.#byLevel = { error, warning: error, info, debug: outputFor(targets.debugPath) };
    this.#outputs = outputs;
  }

  /** Opens the files anew, after somebody moved them away. Files that cannot be opened keep their old descriptor. */
  reopen(): void {
    for (const output of this.#outputs.values()) {
      if (output.path === undefined) continue;
      const old = output.fd;
      output.fd = openLog(output.path);
      closeSync(old);
    }
  }

  close(): void {
    for (const output of this.#outputs.values()) if (output.path !== undefined) closeSync(output.fd);
  }

  /**
   * Writes whole lines.
   * @param rawPrefix for lines that are not JSON (last words of a crashing process): `imap: `
   */
  write(lines: Buffer, rawPrefix: string, pid: number): void {
    const { error, info, debug } = this.#byLevel;
    if (error === info && info === debug && !error.isText && error.syslog === undefined && isAllJson(lines)) {
      writeAll(error.fd, lines);
      return;
    }
    for (const line of lines.toString('utf8').split('\n')) {
      if (line === '') continue;
      const level = levelOf(line);
      const json = level === undefined ? rawLine(line, rawPrefix, pid) : line;
      const output = this.#byLevel[level ?? 'error'];
      if (output.syslog?.write(json, level ?? 'error') === true) continue;
      writeAll(output.fd, Buffer.from(`${output.isText ? (formatLine(json, this.#timestamp) ?? json) : json}\n`));
    }
  }

  /** A stream for one child: collects until the end of a line. */
  streamFor(rawPrefix: string, pid: number): LineCollector {
    return new LineCollector((lines) => this.write(lines, rawPrefix, pid));
  }
}

/** Passes on chunks cut at line ends. */
export class LineCollector {
  readonly #write: (lines: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(write: (lines: Buffer) => void) {
    this.#write = write;
  }

  push(chunk: Buffer): void {
    const end = chunk.lastIndexOf(newline) + 1;
    if (end === 0) {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      if (this.#rest.length > maxLineBytes) this.end();
      return;
    }
    const whole = chunk.subarray(0, end);
    this.#write(this.#rest.length === 0 ? whole : Buffer.concat([this.#rest, whole]));
    this.#rest = Buffer.from(chunk.subarray(end));
  }

  /** The writer is gone: what it left counts as a line. */
  end(): void {
    if (this.#rest.length > 0) this.#write(Buffer.concat([this.#rest, Buffer.from('\n')]));
    this.#rest = Buffer.alloc(0);
  }
}

function rawLine(line: string, prefix: string, pid: number): string {
  return JSON.stringify({ level: 'error', time: Date.now(), pid, prefix, event: 'process.raw', message: line });
}

function isAllJson(lines: Buffer): boolean {
  for (let at = 0; at < lines.length; ) {
    if (lines[at] !== openBrace) return false;
    const end = lines.indexOf(newline, at);
    if (end < 0) return true;
    at = end + 1;
  }
  return true;
}

function openLog(path: string): number {
  return openSync(path, 'a', 0o600);
}

/** Everything, or as much as the disk takes: a full disk must not end the server. */
function writeAll(fd: number, octets: Buffer): void {
  for (let at = 0; at < octets.length; ) {
    try {
      at += writeSync(fd, octets, at);
    } catch (error) {
      // A pipe that is full for the moment (standard error of a supervised master); its reader decides how long we wait.
      if (errnoOf(error) === 'EAGAIN') continue;
      return;
    }
  }
}
