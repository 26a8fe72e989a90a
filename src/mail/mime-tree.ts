// Message structure with octet offsets, found in one pass over the message.
//
// A small state machine over line starts. In a body it jumps from one `\n--` to the next; headers are read line by line and kept until their
// empty line. Nothing else of the message is kept. Boundaries follow RFC 2046 5.1.1: a delimiter line need only begin with the boundary, the
// innermost open multipart is asked first, an exact match beats a longer match beats a shorter one, and a delimiter of an outer multipart ends
// all parts inside it. Time is linear in the message, also for hostile ones; nothing throws.
import { Buffer } from 'node:buffer';
import { type ContentAttributes, parseContentFields } from './content-fields.js';
import { countLines } from './line-count.js';
import { isMessagePart, type MimePart, type OctetString } from './mime-part.js';
import { parameterText } from './parameters.js';
import { envelopeText } from './wire.js';

export interface MimeLimits {
  /** Multiparts and embedded messages inside one another; deeper ones are leaves of type application/octet-stream. */
  readonly nestingDepth: number;
  /** When reached, the last part reaches to the end of the message. */
  readonly parts: number;
  /** Octets of one header block that are looked at; the rest is skipped. */
  readonly headerBytes: number;
}

export const defaultMimeLimits: MimeLimits = { nestingDepth: 100, parts: 10_000, headerBytes: 10 * 1024 * 1024 };

/** RFC 2046 allows 70; longer ones exist. What is longer than this is compared by its beginning. */
const maxBoundaryBytes = 250;
const delimiterStart = Buffer.from('\n--');
const needMore = -1;
const noMatch = -2;

type MutablePart = { -readonly [Key in keyof MimePart]: MimePart[Key] } & { children: MutablePart[] };

interface OpenPart {
  readonly part: MutablePart;
  /** Lines of the message before the body. */
  linesBeforeBody: number;
  linesBeforeHeader: number;
  /** Set while delimiter lines of this multipart count. */
  boundary: Buffer | undefined;
}

export class MimeScanner {
  readonly #limits: MimeLimits;
  readonly #stack: OpenPart[] = [];
  readonly #root: OpenPart;
  #state: 'header' | 'body' | 'delimiter' = 'header';
  /** What the last push could not decide yet, from a line start. */
  #tail: Buffer = Buffer.alloc(0);
  /** Offset in the message and lines before it of the first octet not consumed. */
  #offset = 0;
  #lines = 0;
  #isAtLineStart = true;
  /** Octets of the line end before the current line start. */
  #lineEndBytes = 0;
  #isAfterCr = false;
  /** The next step needs octets that have not come. */
  #isWaiting = false;
  #partCount = 1;
  /** Longest boundary of the open multiparts; 0: no delimiter lines to look for. */
  #longestBoundary = 0;
  #header = new HeaderCollector();
  #rootHeader: Buffer = Buffer.alloc(0);
  /** True when a delimiter line has said that another part follows. */
  #startsPart = false;

  constructor(options: { readonly limits?: Partial<MimeLimits> } = {}) {
    this.#limits = { ...defaultMimeLimits, ...options.limits };
    this.#root = newPart(0, 0);
    this.#stack.push(this.#root);
  }

  /** The message's own header block with its empty line, up to the limit; complete once the body has begun. The buffer is the caller's. */
  get header(): Buffer {
    return this.#rootHeader;
  }

  /** Takes the next octets of the message. The chunk may be reused afterwards. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#run(chunk, false);
  }

  /** Ends the message. @returns its structure */
  end(): MimePart {
    this.#run(Buffer.alloc(0), true);
    if (this.#state === 'header') this.#endHeader();
    this.#closeDownTo(0, this.#offset, this.#lines);
    closePart(this.#root, this.#offset, this.#lines);
    return this.#root.part;
  }

  #run(chunk: Buffer, isFinal: boolean): void {
    const data = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    let position = 0;
    this.#isWaiting = false;
    while (position < data.length && !this.#isWaiting) {
      if (this.#state === 'body') position = this.#scanBody(data, position, isFinal);
      else if (this.#state === 'header') position = this.#scanHeader(data, position, isFinal);
      else position = this.#skipDelimiterLine(data, position);
    }
    this.#tail = position < data.length ? Buffer.from(data.subarray(position)) : Buffer.alloc(0);
  }

  /** Consumes up to `to`; the lines in between are counted by the caller. */
  #consume(from: number, to: number, lines: number): void {
    this.#offset += to - from;
    this.#lines += lines;
  }

  #noteLineEnd(data: Buffer, lineFeed: number): void {
    const isCrLf = lineFeed > 0 ? data[lineFeed - 1] === 0x0d : this.#isAfterCr;
    this.#lineEndBytes = isCrLf ? 2 : 1;
    this.#isAtLineStart = true;
    this.#isAfterCr = false;
  }

  #noteOpenLine(data: Buffer): void {
    this.#isAtLineStart = false;
    this.#isAfterCr = data[data.length - 1] === 0x0d;
  }

  #scanBody(data: Buffer, start: number, isFinal: boolean): number {
    if (this.#longestBoundary === 0) {
      this.#consume(start, data.length, countLines(data, start, data.length));
      return data.length;
    }
    if (this.#isAtLineStart) {
      const match = this.#matchDelimiter(data, start, isFinal);
      if (match === needMore) {
        this.#isWaiting = true;
        return start;
      }
      if (match !== noMatch) return this.#enterDelimiter(data, start, match);
      this.#isAtLineStart = false;
    }
    const found = data.indexOf(delimiterStart, start);
    let next = found + 1;
    if (found === -1) {
      const { length } = data;
      // The chunk may end inside `\n--`.
      next =
        data[length - 1] === 0x0a ? length : data[length - 1] === 0x2d && data[length - 2] === 0x0a && length - 1 > start ? length - 1 : -1;
      if (next === -1) {
        this.#consume(start, length, countLines(data, start, length));
        this.#noteOpenLine(data);
        return length;
      }
    }
    this.#consume(start, next, countLines(data, start, next));
    this.#noteLineEnd(data, next - 1);
    return next;
  }

  #scanHeader(data: Buffer, start: number, isFinal: boolean): number {
    let position = start;
    const { length } = data;
    while (position < length) {
      if (this.#isAtLineStart) {
        const code = data[position];
        if (code === 0x0a || (code === 0x0d && data[position + 1] === 0x0a)) {
          const next = position + (code === 0x0a ? 1 : 2);
          this.#header.add(data.subarray(start, next), this.#limits.headerBytes);
          this.#consume(start, next, countLines(data, start, next));
          this.#noteLineEnd(data, next - 1);
          this.#endHeader();
          return next;
        }
        const match = code === 0x2d ? this.#matchDelimiter(data, position, isFinal) : noMatch;
        this.#isWaiting = match === needMore || (code === 0x0d && position + 1 === length && !isFinal);
        if (this.#isWaiting) break;
        if (match !== noMatch) {
          this.#header.add(data.subarray(start, position), this.#limits.headerBytes);
          this.#consume(start, position, countLines(data, start, position));
          this.#endHeader();
          return this.#enterDelimiter(data, position, match);
        }
      }
      const lineFeed = data.indexOf(0x0a, position);
      if (lineFeed === -1) {
        position = length;
        this.#noteOpenLine(data);
      } else {
        position = lineFeed + 1;
        this.#noteLineEnd(data, lineFeed);
      }
    }
    this.#header.add(data.subarray(start, position), this.#limits.headerBytes);
    this.#consume(start, position, countLines(data, start, position));
    return position;
  }

  /** Takes the rest of a delimiter line, then begins the next part or goes on in the epilogue. */
  #skipDelimiterLine(data: Buffer, start: number): number {
    const lineFeed = data.indexOf(0x0a, start);
    if (lineFeed === -1) {
      this.#consume(start, data.length, 0);
      this.#noteOpenLine(data);
      return data.length;
    }
    this.#consume(start, lineFeed + 1, 1);
    this.#noteLineEnd(data, lineFeed);
    if (this.#startsPart) this.#openPart();
    else this.#state = 'body';
    return lineFeed + 1;
  }

  /**
   * Looks whether the line at `start` is a delimiter of an open multipart.
   * @returns index in the stack, `noMatch`, or `needMore`
   */
  #matchDelimiter(data: Buffer, start: number, isFinal: boolean): number {
    if (this.#longestBoundary === 0) return noMatch;
    const { length } = data;
    if (data[start] !== 0x2d) return start === length && !isFinal ? needMore : noMatch;
    if (start + 1 >= length) return isFinal ? noMatch : needMore;
    if (data[start + 1] !== 0x2d) return noMatch;
    const from = start + 2;
    // The boundary, `--` and a line end: enough to tell an exact match from a beginning.
    const windowEnd = from + this.#longestBoundary + 4;
    let end = from;
    const stop = Math.min(length, windowEnd);
    while (end < stop && data[end] !== 0x0a) end += 1;
    if (end === length && end < windowEnd && !isFinal) return needMore;
    while (end > from && isBlank(data[end - 1])) end -= 1;
    return this.#bestBoundary(data, from, end);
  }

  #bestBoundary(data: Buffer, from: number, end: number): number {
    let best = noMatch;
    let bestLength = -1;
    const size = end - from;
    for (let index = this.#stack.length - 1; index >= 0; index -= 1) {
      const boundary = this.#stack[index]?.boundary;
      if (boundary === undefined || boundary.length > size || boundary.length <= bestLength) continue;
      if (boundary[0] !== data[from] || boundary.compare(data, from, from + boundary.length) !== 0) continue;
      best = index;
      bestLength = boundary.length;
      if (bestLength === size) break;
      if (bestLength === size - 2 && data[end - 1] === 0x2d && data[end - 2] === 0x2d) break;
    }
    return best;
  }

  #enterDelimiter(data: Buffer, start: number, index: number): number {
    const open = this.#stack[index];
    const boundaryBytes = open?.boundary?.length ?? 0;
    const isEnd = data[start + 2 + boundaryBytes] === 0x2d && data[start + 3 + boundaryBytes] === 0x2d;
    const hasLineEnd = this.#lineEndBytes > 0 ? 1 : 0;
    this.#closeDownTo(index, this.#offset - this.#lineEndBytes, this.#lines - hasLineEnd);
    if (isEnd && open !== undefined) open.boundary = undefined;
    if (!isEnd && this.#partCount >= this.#limits.parts) {
      // No more parts: all that follows belongs to what is open.
      for (const item of this.#stack) item.boundary = undefined;
    }
    this.#refreshLongest();
    this.#startsPart = !isEnd && this.#partCount < this.#limits.parts;
    this.#state = 'delimiter';
    this.#isAtLineStart = false;
    return start;
  }

  #refreshLongest(): void {
    let longest = 0;
    for (const { boundary } of this.#stack) if (boundary !== undefined && boundary.length > longest) longest = boundary.length;
    this.#longestBoundary = longest;
  }

  /**
   * Closes all parts above this stack index. A header that touches the delimiter keeps its last line end: its body is empty, and the parts
   * around it end no earlier.
   */
  #closeDownTo(index: number, bodyEnd: number, lines: number): void {
    let end = bodyEnd;
    let endLines = lines;
    while (this.#stack.length - 1 > index) {
      const open = this.#stack.pop();
      if (open === undefined) return;
      if (open.part.bodyStart > end) {
        end = open.part.bodyStart;
        endLines = open.linesBeforeBody;
      }
      closePart(open, end, endLines);
    }
  }

  /** Begins a part of the multipart on top of the stack at the current offset. */
  #openPart(): void {
    this.#startsPart = false;
    const parent = this.#stack.at(-1);
    const open = newPart(this.#offset, this.#lines);
    parent?.part.children.push(open.part);
    this.#stack.push(open);
    this.#partCount += 1;
    this.#state = 'header';
  }

  /** The header of the part on top of the stack ends at the current offset. */
  #endHeader(): void {
    const open = this.#stack.at(-1);
    if (open === undefined) return;
    const block = this.#header.take();
    if (open === this.#root) this.#rootHeader = Buffer.from(block);
    const parent = this.#stack.at(-2)?.part;
    const { part } = open;
    part.bodyStart = this.#offset;
    part.bodyEnd = this.#offset;
    part.headerLines = this.#lines - open.linesBeforeHeader;
    open.linesBeforeBody = this.#lines;
    const content = parseContentFields(block);
    // One by one: a copy of all properties at once takes longer than reading the fields.
    part.type = content.type;
    part.subtype = content.subtype;
    part.parameters = content.parameters;
    part.contentId = content.contentId;
    part.description = content.description;
    part.encoding = content.encoding;
    part.md5 = content.md5;
    part.disposition = content.disposition;
    part.language = content.language;
    part.location = content.location;
    if (!content.hasType && parent?.type === 'multipart' && parent.subtype === 'digest') setType(part, 'message', 'rfc822');
    if (parent !== undefined && isMessagePart(parent)) part.envelope = envelopeText(block);
    this.#state = 'body';
    this.#isAtLineStart = true;
    this.#descend(open);
  }

  #descend(open: OpenPart): void {
    const { part } = open;
    const isMultipart = part.type === 'multipart';
    if (!isMultipart && !isMessagePart(part)) return;
    if (this.#stack.length > this.#limits.nestingDepth) {
      setType(part, 'application', 'octet-stream');
      return;
    }
    if (isMultipart) {
      const boundary = boundaryOf(part);
      if (boundary === undefined) return;
      open.boundary = boundary;
      this.#longestBoundary = Math.max(this.#longestBoundary, boundary.length);
    } else if (this.#partCount < this.#limits.parts) this.#openPart();
  }
}

/** Structure of a message that is in memory as a whole. */
export function parseStructure(message: Buffer, limits?: Partial<MimeLimits>): MimePart {
  const scanner = new MimeScanner(limits === undefined ? {} : { limits });
  scanner.push(message);
  return scanner.end();
}

/** Gathers a header block; a block that came in one piece is not copied. */
class HeaderCollector {
  #bytes: Buffer = Buffer.alloc(0);
  #used = 0;

  add(piece: Buffer, limit: number): void {
    const size = Math.min(piece.length, limit - this.#used);
    if (size <= 0) return;
    if (this.#used + size > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(1024, this.#used + size, Math.min(limit, this.#bytes.length * 2)));
      this.#bytes.copy(grown, 0, 0, this.#used);
      this.#bytes = grown;
    }
    piece.copy(this.#bytes, this.#used, 0, size);
    this.#used += size;
  }

  /** The block, valid until the next `add`. */
  take(): Buffer {
    const block = this.#bytes.subarray(0, this.#used);
    this.#used = 0;
    return block;
  }
}

const noAttributes: ContentAttributes = parseContentFields(Buffer.alloc(0));

function newPart(offset: number, lines: number): OpenPart {
  const part: MutablePart = {
    headerStart: offset,
    bodyStart: offset,
    bodyEnd: offset,
    headerLines: 0,
    bodyLines: 0,
    type: noAttributes.type,
    subtype: noAttributes.subtype,
    parameters: noAttributes.parameters,
    contentId: undefined,
    description: undefined,
    encoding: noAttributes.encoding,
    md5: undefined,
    disposition: undefined,
    language: noAttributes.language,
    location: undefined,
    envelope: undefined,
    children: [],
  };
  return { part, linesBeforeHeader: lines, linesBeforeBody: lines, boundary: undefined };
}

function closePart({ part, linesBeforeBody }: OpenPart, bodyEnd: number, lines: number): void {
  part.bodyEnd = bodyEnd;
  part.bodyLines = lines - linesBeforeBody;
}

function setType(part: MutablePart, type: OctetString, subtype: OctetString): void {
  part.type = type;
  part.subtype = subtype;
  part.parameters = [];
}

function boundaryOf(part: MutablePart): Buffer | undefined {
  const text = parameterText(part.parameters, 'boundary')?.replace(/[ \t\r\n]+$/, '');
  return text === undefined || text === '' ? undefined : Buffer.from(text.slice(0, maxBoundaryBytes), 'latin1');
}

function isBlank(code: number | undefined): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d;
}
