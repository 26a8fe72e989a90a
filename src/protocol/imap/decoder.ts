// Octets to commands, incrementally. The decoder finds the ends of lines and literals and enforces the limits; what a command means is
// parsed afterwards with CommandReader. A message literal (APPEND, REPLACE) is not gathered: its octets are handed out as they arrive.
//
// A command that breaks a limit is reported once as `bad`, then skipped to its end, literals included, so that the next command is found.
import { isTagChar } from './grammar.js';
import { CommandReader, type ReceivedLiteral } from './reader.js';

export interface DecoderLimits {
  /** Text of one command without its literals, octets. */
  readonly maxLineBytes: number;
  /** Literals of one command together, octets; message literals do not count. */
  readonly maxLiteralBytes: number;
  /** A larger non-synchronizing literal is not even skipped: the connection ends. */
  readonly maxSkippedBytes: number;
  /** RFC 7888 LITERAL-: non-synchronizing literals up to 4096 octets only. */
  readonly isLiteralMinus: boolean;
  /** Literals in one command. */
  readonly maxLiterals: number;
}

/** No message is larger. Who announces more is not waited for, whatever becomes of the command. */
const maxMessageBytes = 2 ** 40;

export const defaultDecoderLimits: DecoderLimits = {
  maxLineBytes: 65_536,
  maxLiteralBytes: 65_536,
  maxSkippedBytes: 1_048_576,
  isLiteralMinus: false,
  maxLiterals: 1_000,
};

/** A literal that is about to come, whose octets go to the storage. */
export interface MessageLiteral {
  readonly size: number;
  /** The client waits for a continuation request. */
  readonly isSynchronizing: boolean;
  /** literal8, `~{n}`. */
  readonly isBinary: boolean;
}

export type DecodeStep =
  | { readonly kind: 'more' }
  /** Send a continuation request, then ask again. */
  | { readonly kind: 'continue' }
  /** `name` in upper case, `UID FETCH` as one name; the reader stands behind it. */
  | { readonly kind: 'command'; readonly tag: string; readonly name: string; readonly reader: CommandReader }
  /** A command with a message literal, seen up to the literal. Answer with `acceptMessage` or `skipCommand`. */
  | {
      readonly kind: 'message';
      readonly tag: string;
      readonly name: string;
      readonly reader: CommandReader;
      readonly literal: MessageLiteral;
    }
  /** Octets of an accepted message literal. */
  | { readonly kind: 'chunk'; readonly octets: Buffer; readonly isLast: boolean }
  /** What follows a message literal: up to the next message literal, or to the end of the command. */
  | { readonly kind: 'segment'; readonly reader: CommandReader; readonly literal: MessageLiteral | undefined }
  /** After `expectLine`. */
  | { readonly kind: 'line'; readonly text: string }
  | {
      readonly kind: 'bad';
      readonly tag: string | undefined;
      readonly name: string | undefined;
      readonly reason: string;
      readonly code: 'TOOBIG' | undefined;
    }
  /** The stream cannot be followed any more. */
  | { readonly kind: 'bye'; readonly reason: string };

type Mode = 'line' | 'raw-line' | 'literal' | 'message-decision' | 'message' | 'skip-literal' | 'skip-line' | 'dead';

interface Marker {
  readonly size: number;
  readonly isSynchronizing: boolean;
  readonly isBinary: boolean;
}

const more: DecodeStep = { kind: 'more' };
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const noLiterals: readonly ReceivedLiteral[] = [];
const emptyBuffer = Buffer.alloc(0);

export class CommandDecoder {
  readonly #limits: DecoderLimits;
  readonly #isMessageLiteral: (name: string, argumentsBefore: string, isFirst: boolean) => boolean;
  // Received octets are #buffer[#start, #end); #scanned of them are known to hold no line feed.
  #buffer: Buffer = emptyBuffer;
  #start = 0;
  #end = 0;
  #scanned = 0;
  #isOwnBuffer = false;
  #mode: Mode = 'line';
  #text = '';
  #literals: ReceivedLiteral[] = [];
  #literalBytes = 0;
  /** Octets still to come of the current literal. */
  #remaining = 0;
  #tag: string | undefined;
  #name = '';
  #argumentsAt = 0;
  /** Inside a command whose first message literal was reported. */
  #isMessageCommand = false;
  #message: MessageLiteral | undefined;

  /**
   * @param isMessageLiteral decides at a literal whether it is a message, from the upper-case command name, the text before the literal (the
   * marker included, back to the name or to the previous message) and whether it would be the first message of the command
   */
  constructor(limits: DecoderLimits, isMessageLiteral: (name: string, argumentsBefore: string, isFirst: boolean) => boolean) {
    this.#limits = limits;
    this.#isMessageLiteral = isMessageLiteral;
  }

  /** Octets received and not yet consumed. */
  get bufferedBytes(): number {
    return this.#end - this.#start;
  }

  /** In the middle of a command. */
  get isInsideCommand(): boolean {
    return this.#mode !== 'line' || this.#text !== '' || this.#isMessageCommand || this.bufferedBytes > 0;
  }

  /** True while nothing is needed but to throw octets away. */
  get isSkipping(): boolean {
    return this.#mode === 'skip-literal' || this.#mode === 'skip-line';
  }

  /** The chunk belongs to the decoder from now on. */
  push(chunk: Buffer): void {
    if (this.#start === this.#end) {
      this.#buffer = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      this.#isOwnBuffer = false;
      this.#scanned = 0;
      return;
    }
    const length = this.#end - this.#start;
    if (!this.#isOwnBuffer || this.#buffer.length - this.#end < chunk.length) {
      // Never written over in place: slices of it may have been handed out.
      const grown = Buffer.allocUnsafeSlow(Math.max(2 * (length + chunk.length), 4096));
      this.#buffer.copy(grown, 0, this.#start, this.#end);
      this.#buffer = grown;
      this.#start = 0;
      this.#end = length;
      this.#isOwnBuffer = true;
    }
    chunk.copy(this.#buffer, this.#end);
    this.#end += chunk.length;
  }

  /** The next line is not a command (IDLE's DONE, a SASL response). */
  expectLine(): void {
    if (this.#mode === 'line' && this.#text === '') this.#mode = 'raw-line';
  }

  /** Gives back the octets that were received ahead (before COMPRESS). */
  takeBuffered(): Buffer {
    const octets = this.#buffer.subarray(this.#start, this.#end);
    this.#consume(octets.length);
    return octets;
  }

  /** The message literal just reported shall come; the caller sends the continuation request when it is synchronizing. */
  acceptMessage(): void {
    if (this.#mode === 'message-decision') this.#mode = 'message';
  }

  /** Throws away what is left of the current message command. Its tagged reply is the caller's. */
  skipCommand(): void {
    if (this.#mode === 'message-decision') {
      const literal = this.#message;
      // A client that waits for `+` and gets a tagged reply has finished the command (RFC 9051 4.3).
      if (literal === undefined || literal.isSynchronizing) this.#reset();
      else this.#skipLiteral(literal.size);
    } else if (this.#mode === 'message') this.#mode = 'skip-literal';
    else if (this.#isMessageCommand) this.#mode = 'skip-line';
  }

  next(): DecodeStep {
    for (;;) {
      switch (this.#mode) {
        case 'line': {
          const step = this.#readLine();
          if (step !== undefined) return step;
          break;
        }
        case 'raw-line': {
          const line = this.#takeLine();
          if (line === undefined) return more;
          this.#mode = 'line';
          if (line === 'too-long') return this.#refuse('Too long line.', undefined, undefined);
          return { kind: 'line', text: line };
        }
        case 'literal': {
          const missing = this.#remaining;
          if (this.bufferedBytes < missing) return more;
          this.#literals.push({ end: this.#text.length, octets: this.#buffer.subarray(this.#start, this.#start + missing) });
          this.#consume(missing);
          this.#mode = 'line';
          break;
        }
        case 'message-decision':
          return more;
        case 'message':
          return this.#readMessage();
        case 'skip-literal': {
          const count = Math.min(this.#remaining, this.bufferedBytes);
          this.#consume(count);
          this.#remaining -= count;
          if (this.#remaining > 0) return more;
          this.#mode = 'skip-line';
          break;
        }
        case 'skip-line': {
          const step = this.#skipLine();
          if (step !== undefined) return step;
          break;
        }
        case 'dead':
          return more;
      }
    }
  }

  #consume(count: number): void {
    this.#start += count;
    this.#scanned = 0;
    if (this.#start !== this.#end) return;
    this.#buffer = emptyBuffer;
    this.#start = 0;
    this.#end = 0;
    this.#isOwnBuffer = false;
  }

  #reset(): void {
    this.#mode = 'line';
    this.#text = '';
    this.#literals = [];
    this.#literalBytes = 0;
    this.#tag = undefined;
    this.#name = '';
    this.#isMessageCommand = false;
    this.#message = undefined;
  }

  /** Text of the next line without its end, undefined when more octets are needed, `too-long` past the limit. */
  #takeLine(): string | 'too-long' | undefined {
    const from = this.#start + this.#scanned;
    const at = this.#buffer.indexOf(lineFeed, from);
    if (at < 0 || at >= this.#end) {
      this.#scanned = this.#end - this.#start;
      return this.#scanned + this.#text.length > this.#limits.maxLineBytes + 1 ? 'too-long' : undefined;
    }
    let end = at;
    if (end > this.#start && this.#buffer[end - 1] === carriageReturn) end -= 1;
    if (end - this.#start + this.#text.length > this.#limits.maxLineBytes) return 'too-long';
    const text = this.#buffer.toString('latin1', this.#start, end);
    this.#consume(at + 1 - this.#start);
    return text;
  }

  #readLine(): DecodeStep | undefined {
    const line = this.#takeLine();
    if (line === undefined) return more;
    if (line === 'too-long') {
      if (this.#text === '') this.#readHead(this.#buffer.toString('latin1', this.#start, Math.min(this.#start + 256, this.#end)));
      return this.#refuse('Too long argument.', undefined, undefined);
    }
    const isFirst = this.#text === '' && this.#literals.length === 0 && !this.#isMessageCommand;
    if (isFirst) {
      const problem = this.#readHead(line);
      if (problem !== undefined) {
        const step: DecodeStep = { kind: 'bad', tag: this.#tag, name: undefined, reason: problem, code: undefined };
        this.#reset();
        return step;
      }
    }
    this.#text += line;
    const marker = line.charCodeAt(line.length - 1) === 0x7d ? findMarker(line) : undefined;
    return marker === undefined ? this.#endCommand() : this.#startLiteral(marker);
  }

  /** Tag and command name of a first line. @returns what is wrong */
  #readHead(line: string): string | undefined {
    let at = 0;
    while (at < line.length && isTagChar(line.charCodeAt(at))) at += 1;
    if (at === 0 || at > 128 || line.charCodeAt(at) !== 0x20) {
      if (at > 0 && at === line.length && at <= 128) {
        this.#tag = line;
        return 'No command given.';
      }
      return 'Invalid tag.';
    }
    this.#tag = line.slice(0, at);
    const nameStart = skipSpaces(line, at);
    let nameEnd = endOfWord(line, nameStart);
    let name = line.slice(nameStart, nameEnd).toUpperCase();
    if (name === 'UID' && nameEnd < line.length) {
      const second = skipSpaces(line, nameEnd);
      nameEnd = endOfWord(line, second);
      name = `UID ${line.slice(second, nameEnd).toUpperCase()}`;
    }
    if (name === '') return 'No command given.';
    this.#name = name;
    this.#argumentsAt = nameEnd;
    return undefined;
  }

  #endCommand(): DecodeStep {
    const reader = new CommandReader(this.#text, this.#literals.length === 0 ? noLiterals : this.#literals, this.#argumentsAt);
    const step: DecodeStep = this.#isMessageCommand
      ? { kind: 'segment', reader, literal: undefined }
      : { kind: 'command', tag: this.#tag ?? '', name: this.#name, reader };
    this.#reset();
    return step;
  }

  #startLiteral(marker: Marker): DecodeStep | undefined {
    const before = this.#text.slice(this.#argumentsAt);
    if (this.#isMessageLiteral(this.#name, before, !this.#isMessageCommand)) return this.#startMessage(marker);
    if (!marker.isSynchronizing && this.#limits.isLiteralMinus && marker.size > 4096)
      return this.#refuse('Too large non-synchronizing literal', 'TOOBIG', marker);
    if (marker.size > this.#limits.maxLiteralBytes - this.#literalBytes) return this.#refuse('Literal size too large', 'TOOBIG', marker);
    if (this.#literals.length >= this.#limits.maxLiterals) return this.#refuse('Too many literals', undefined, marker);
    this.#literalBytes += marker.size;
    this.#remaining = marker.size;
    this.#mode = 'literal';
    return marker.isSynchronizing ? { kind: 'continue' } : undefined;
  }

  #startMessage(marker: Marker): DecodeStep {
    if (!marker.isSynchronizing && this.#limits.isLiteralMinus && marker.size > 4096)
      return this.#refuse('Too large non-synchronizing literal', 'TOOBIG', marker);
    if (marker.size > maxMessageBytes) return this.#refuse('Literal size too large', 'TOOBIG', marker);
    const reader = new CommandReader(this.#text, this.#literals, this.#argumentsAt);
    const isFirst = !this.#isMessageCommand;
    this.#message = marker;
    this.#remaining = marker.size;
    this.#mode = 'message-decision';
    this.#isMessageCommand = true;
    this.#text = '';
    this.#literals = [];
    this.#argumentsAt = 0;
    return isFirst
      ? { kind: 'message', tag: this.#tag ?? '', name: this.#name, reader, literal: marker }
      : { kind: 'segment', reader, literal: marker };
  }

  #readMessage(): DecodeStep {
    const count = Math.min(this.#remaining, this.bufferedBytes);
    if (count === 0 && this.#remaining > 0) return more;
    const octets = this.#buffer.subarray(this.#start, this.#start + count);
    this.#consume(count);
    this.#remaining -= count;
    const isLast = this.#remaining === 0;
    if (isLast) this.#mode = 'line';
    return { kind: 'chunk', octets, isLast };
  }

  #skipLiteral(size: number): void {
    this.#remaining = size;
    this.#mode = 'skip-literal';
  }

  /** Reports the command as bad and goes on to skip the rest of it. */
  #refuse(reason: string, code: 'TOOBIG' | undefined, marker: Marker | undefined): DecodeStep {
    const step: DecodeStep = { kind: 'bad', tag: this.#tag, name: this.#name === '' ? undefined : this.#name, reason, code };
    const { maxSkippedBytes } = this.#limits;
    this.#reset();
    if (marker === undefined) this.#mode = 'skip-line';
    else if (!marker.isSynchronizing) {
      if (marker.size > maxSkippedBytes) {
        this.#mode = 'dead';
        return { kind: 'bye', reason };
      }
      this.#skipLiteral(marker.size);
    }
    return step;
  }

  #skipLine(): DecodeStep | undefined {
    const at = this.#buffer.indexOf(lineFeed, this.#start);
    if (at < 0 || at >= this.#end) {
      // The end of the line decides whether a literal follows; a marker is at most 24 octets.
      const keep = Math.min(this.bufferedBytes, 32);
      const drop = this.bufferedBytes - keep;
      if (drop > 0) this.#consume(drop);
      return more;
    }
    let end = at;
    if (end > this.#start && this.#buffer[end - 1] === carriageReturn) end -= 1;
    const tail = this.#buffer.toString('latin1', Math.max(this.#start, end - 32), end);
    this.#consume(at + 1 - this.#start);
    const marker = /~?\{(\d{1,16})\+\}$/.exec(tail);
    const size = Number(marker?.[1] ?? -1);
    if (size < 0) this.#reset();
    else if (size > this.#limits.maxSkippedBytes) {
      this.#mode = 'dead';
      return { kind: 'bye', reason: 'Literal size too large' };
    } else this.#skipLiteral(size);
    return undefined;
  }
}

function skipSpaces(line: string, from: number): number {
  let at = from;
  while (line.charCodeAt(at) === 0x20) at += 1;
  return at;
}

function endOfWord(line: string, from: number): number {
  let at = from;
  while (at < line.length && line.charCodeAt(at) !== 0x20) at += 1;
  return at;
}

/** The literal that the line announces at its end, unless that text is inside a quoted string. */
function findMarker(line: string): Marker | undefined {
  const match = /(~?)\{(\d{1,16})(\+?)\}$/.exec(line.length > 32 ? line.slice(-32) : line);
  if (match === null) return undefined;
  let isQuoted = false;
  for (let at = 0; at < line.length; at++) {
    const octet = line.charCodeAt(at);
    if (octet === 0x22) isQuoted = !isQuoted;
    else if (octet === 0x5c && isQuoted) at += 1;
  }
  if (isQuoted) return undefined;
  return { size: Number(match[2]), isSynchronizing: match[3] === '', isBinary: match[1] === '~' };
}
