// Octets of an IMAP client that has not logged in, cut into commands. Small on purpose, with small limits: a few commands are allowed here, and
// everybody on the network may send them. The grammar of the session after login lives in protocol/imap.

/** A line without its literals, CRLF excluded. */
export const maxImapLineBytes = 8192;
/** User names and passwords are the only literals that make sense. */
export const maxImapLiteralBytes = 4096;
/** A command with all its literals. */
export const maxImapCommandBytes = 16_384;
/** What is thrown away of an over-long line before the connection ends. */
const maxSkippedBytes = 64 * 1024;

export type ImapArgument =
  | { readonly kind: 'atom' | 'string'; readonly octets: Buffer }
  | { readonly kind: 'list'; readonly items: readonly ImapArgument[] };

export type ImapInputStep =
  | { readonly kind: 'wait' }
  /** Tell the client to send its literal. */
  | { readonly kind: 'literal' }
  | { readonly kind: 'command'; readonly tag: string; readonly name: string; readonly args: readonly ImapArgument[] }
  | { readonly kind: 'bad'; readonly tag: string }
  /** A literal above the limit: the client waits and may go on (`isFatal` no), or has sent it anyway. */
  | { readonly kind: 'too-big'; readonly tag: string; readonly isFatal: boolean };

type Piece = { readonly kind: 'text' | 'literal'; readonly octets: Buffer };

const wait: ImapInputStep = { kind: 'wait' };
const tagPattern = /^[^\x00-\x20\x7f-\uffff(){%*"\\+]{1,128}$/;
const literalPattern = /\{(\d{1,10})(\+?)\}$/;

export class ImapInput {
  #buffered: Buffer = Buffer.alloc(0);
  #pieces: Piece[] = [];
  #commandBytes = 0;
  #literalLeft: number | undefined;
  #skipped: number | undefined;

  push(chunk: Buffer): void {
    this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
  }

  /** Octets not used yet. */
  get size(): number {
    return this.#buffered.length;
  }

  /** Takes what was not used, for whoever reads on. */
  takeRest(): Buffer {
    const rest = this.#buffered;
    this.#buffered = Buffer.alloc(0);
    return rest;
  }

  /** A bare line (SASL response), CRLF removed; undefined when it is not complete, 'too-long' when it never will be. */
  nextLine(): Buffer | undefined | 'too-long' {
    const end = this.#buffered.indexOf(10);
    if (end < 0) return this.#buffered.length > maxImapLineBytes + 1 ? 'too-long' : undefined;
    if (end > maxImapLineBytes + 1) return 'too-long';
    const line = this.#cut(end + 1);
    return trimLineEnd(line);
  }

  next(): ImapInputStep {
    for (;;) {
      if (this.#skipped !== undefined) return this.#skipLine(this.#skipped);
      if (this.#literalLeft !== undefined) {
        if (this.#buffered.length < this.#literalLeft) return wait;
        this.#pieces.push({ kind: 'literal', octets: this.#cut(this.#literalLeft) });
        this.#literalLeft = undefined;
      }
      const end = this.#buffered.indexOf(10);
      if (end > maxImapLineBytes + 1 || (end < 0 && this.#buffered.length > maxImapLineBytes + 1)) {
        this.#skipped = 0;
        continue;
      }
      if (end < 0) return wait;
      const line = trimLineEnd(this.#cut(end + 1));
      this.#pieces.push({ kind: 'text', octets: line });
      this.#commandBytes += line.length;
      const literal = literalPattern.exec(line.subarray(-13).toString('latin1'));
      if (!literal) return this.#finish();
      const step = this.#announceLiteral(Number(literal[1]), literal[2] !== '+', literal[0].length);
      if (step) return step;
    }
  }

  #announceLiteral(size: number, isSynchronizing: boolean, suffixBytes: number): ImapInputStep | undefined {
    const last = this.#pieces.pop();
    if (last) this.#pieces.push({ kind: 'text', octets: last.octets.subarray(0, last.octets.length - suffixBytes) });
    this.#commandBytes += size;
    if (size > maxImapLiteralBytes || this.#commandBytes > maxImapCommandBytes) {
      const tag = tagOf(this.#pieces);
      this.#reset();
      return { kind: 'too-big', tag, isFatal: !isSynchronizing };
    }
    this.#literalLeft = size;
    return isSynchronizing ? { kind: 'literal' } : undefined;
  }

  #finish(): ImapInputStep {
    const pieces = this.#pieces;
    this.#reset();
    const tag = tagOf(pieces);
    const tokens = tokenize(pieces);
    const name = tokens?.[1];
    if (!tokens || tag === '*' || name?.kind !== 'atom') return { kind: 'bad', tag };
    return { kind: 'command', tag, name: name.octets.toString('latin1').toUpperCase(), args: tokens.slice(2) };
  }

  #skipLine(already: number): ImapInputStep {
    const end = this.#buffered.indexOf(10);
    const skipped = already + (end < 0 ? this.#buffered.length : end);
    this.#buffered = end < 0 ? Buffer.alloc(0) : this.#buffered.subarray(end + 1);
    this.#skipped = end < 0 ? skipped : undefined;
    if (skipped > maxSkippedBytes) return { kind: 'too-big', tag: '*', isFatal: true };
    if (end < 0) return wait;
    const tag = tagOf(this.#pieces);
    this.#reset();
    return { kind: 'bad', tag };
  }

  #cut(length: number): Buffer {
    const head = this.#buffered.subarray(0, length);
    this.#buffered = this.#buffered.subarray(length);
    return head;
  }

  #reset(): void {
    this.#pieces = [];
    this.#commandBytes = 0;
    this.#literalLeft = undefined;
  }
}

function trimLineEnd(line: Buffer): Buffer {
  const end = line.length >= 2 && line[line.length - 2] === 13 ? line.length - 2 : line.length - 1;
  return line.subarray(0, end);
}

/** The tag, or `*` when there is none to answer to. */
function tagOf(pieces: readonly Piece[]): string {
  const first = pieces[0]?.octets.toString('latin1').split(' ', 1)[0] ?? '';
  return tagPattern.test(first) ? first : '*';
}

/** Undefined on a syntax error. One level of lists, as ID has it. */
function tokenize(pieces: readonly Piece[]): readonly ImapArgument[] | undefined {
  const top: ImapArgument[] = [];
  let list: ImapArgument[] | undefined;
  for (const piece of pieces) {
    if (piece.kind === 'literal') {
      (list ?? top).push({ kind: 'string', octets: piece.octets });
      continue;
    }
    const text = piece.octets.toString('latin1');
    if (text.includes('\0')) return undefined;
    let at = 0;
    while (at < text.length) {
      const character = text.charAt(at);
      if (character === ' ') at += 1;
      else if (character === '(') {
        if (list) return undefined;
        list = [];
        at += 1;
      } else if (character === ')') {
        if (!list) return undefined;
        top.push({ kind: 'list', items: list });
        list = undefined;
        at += 1;
      } else {
        const token = character === '"' ? readQuoted(text, at) : readAtom(text, at);
        if (!token) return undefined;
        (list ?? top).push(token.argument);
        at = token.end;
      }
    }
  }
  return list ? undefined : top;
}

function readQuoted(text: string, start: number): { readonly argument: ImapArgument; readonly end: number } | undefined {
  let value = '';
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '"') return { argument: { kind: 'string', octets: Buffer.from(value, 'latin1') }, end: at + 1 };
    if (character === '\\') {
      at += 1;
      const escaped = text.charAt(at);
      if (escaped !== '"' && escaped !== '\\') return undefined;
      value += escaped;
    } else value += character;
  }
  return undefined;
}

function readAtom(text: string, start: number): { readonly argument: ImapArgument; readonly end: number } {
  let end = start;
  while (end < text.length && !' ()"'.includes(text.charAt(end))) end += 1;
  return { argument: { kind: 'atom', octets: Buffer.from(text.slice(start, end), 'latin1') }, end };
}
