// Cursor over one received command: its text with literals put aside. Every method either consumes what it names or throws
// ImapSyntaxError; parse functions in commands/ are written with it.
import { type NumberRange, parseNumberSet } from '#util/number-set.js';
import { decodeUtf8, grammarLimits, ImapSyntaxError, isAstringChar, isAtomChar, isListChar, MailboxNameError } from './grammar.js';
import { decodeMailboxName } from './mailbox-name.js';

/** A sequence set of numbers or UIDs; `saved` is `$`, the saved search result (RFC 5182). */
export type SequenceSet = { readonly kind: 'ranges'; readonly ranges: readonly NumberRange[] } | { readonly kind: 'saved' };

const space = 0x20;
const quote = 0x22;
const open = 0x28;
const close = 0x29;
const star = 0x2a;
const brace = 0x7b;
const tilde = 0x7e;
const backslash = 0x5c;

/** A literal of a command: the octets, and where its `{n}` ends in the text. */
export interface ReceivedLiteral {
  readonly end: number;
  readonly octets: Buffer;
}

export class CommandReader {
  /** One char per octet. */
  readonly text: string;
  /** Mailbox names are UTF-8 and quoted strings may hold it (UTF8=ACCEPT or IMAP4rev2 enabled). */
  isUtf8 = false;
  /** Left out at the end of mailbox names: old Thunderbird adds a hierarchy separator. */
  ignoredSuffix: string | undefined;
  position: number;
  #literals: readonly ReceivedLiteral[];
  #nextLiteral = 0;
  #depth = 0;

  constructor(text: string, literals: readonly ReceivedLiteral[] = [], position = 0) {
    this.text = text;
    this.#literals = literals;
    this.position = position;
  }

  /** Char code at the cursor, NaN at the end. */
  peek(): number {
    return this.text.charCodeAt(this.position);
  }

  get isAtEnd(): boolean {
    return this.position >= this.text.length;
  }

  fail(reason: string): never {
    throw new ImapSyntaxError(reason);
  }

  /** One or more blanks: clients in the field send two, and no server minds. */
  space(): void {
    if (this.peek() !== space) this.fail(this.isAtEnd ? 'Missing arguments.' : 'Invalid characters in arguments.');
    while (this.peek() === space) this.position += 1;
  }

  /** Consumes blanks if there are any and something follows. */
  trySpace(): boolean {
    if (this.peek() !== space) return false;
    while (this.peek() === space) this.position += 1;
    return !this.isAtEnd;
  }

  /** Only blanks may be left. */
  end(): void {
    while (this.peek() === space) this.position += 1;
    if (!this.isAtEnd) this.fail('Unexpected extra arguments');
  }

  tryChar(character: string): boolean {
    if (this.text[this.position] !== character) return false;
    this.position += 1;
    return true;
  }

  char(character: string): void {
    if (!this.tryChar(character)) this.fail(`Expected ${character}`);
  }

  #while(test: (octet: number) => boolean): string {
    const start = this.position;
    const { text } = this;
    let at = start;
    while (at < text.length && test(text.charCodeAt(at))) at += 1;
    this.position = at;
    return text.slice(start, at);
  }

  atom(what = 'atom'): string {
    const value = this.#while(isAtomChar);
    if (value === '') this.fail(this.isAtEnd ? 'Missing arguments.' : `Expected ${what}`);
    return value;
  }

  /** An atom in upper case. */
  word(what = 'word'): string {
    return this.atom(what).toUpperCase();
  }

  /** Consumes the word when it comes next (any case), else leaves the cursor alone. */
  tryWord(word: string): boolean {
    const end = this.position + word.length;
    const next = this.text.charCodeAt(end);
    if (end < this.text.length && isAtomChar(next)) return false;
    if (this.text.slice(this.position, end).toUpperCase() !== word) return false;
    this.position = end;
    return true;
  }

  /** 0 to 2^53-1. */
  number64(): number {
    const digits = this.#while((octet) => octet >= 0x30 && octet <= 0x39);
    if (digits === '' || digits.length > 16) this.fail('Invalid number');
    const value = Number(digits);
    if (!Number.isSafeInteger(value)) this.fail('Number too large');
    return value;
  }

  /** A modseq, 0 to 2^63-1 (RFC 7162 7). Ours stay below 2^53; a larger one is as good as the largest of them. */
  modSeq(): number {
    return this.#clamped64('modseq');
  }

  /** 0 to 2^63-1 (RFC 9208 7, resource-limit). */
  resourceLimit(): number {
    return this.#clamped64('limit');
  }

  #clamped64(what: string): number {
    const digits = this.#while((octet) => octet >= 0x30 && octet <= 0x39);
    if (digits === '' || digits.length > 19) this.fail(`Invalid ${what}`);
    return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
  }

  /** 0 to 2^32-1. */
  number(): number {
    const value = this.number64();
    if (value > 4294967295) this.fail('Number too large');
    return value;
  }

  nonZeroNumber(): number {
    const value = this.number();
    if (value === 0) this.fail('Invalid number');
    return value;
  }

  get isAtString(): boolean {
    const next = this.peek();
    return next === quote || next === brace || (next === tilde && this.text.charCodeAt(this.position + 1) === brace);
  }

  /** Quoted string or literal; one char per octet. */
  string(): string {
    if (this.peek() === quote) return this.#quoted();
    return this.#literal().toString('latin1');
  }

  /** The same as octets. */
  stringOctets(): Buffer {
    return this.peek() === quote ? Buffer.from(this.#quoted(), 'latin1') : this.#literal();
  }

  #quoted(): string {
    const { text } = this;
    const start = this.position + 1;
    let at = start;
    let hasEscape = false;
    for (;;) {
      const octet = text.charCodeAt(at);
      if (octet === quote) break;
      if (octet === backslash) {
        hasEscape = true;
        at += 1;
      }
      if (at >= text.length) this.fail("Missing '\"'");
      at += 1;
    }
    this.position = at + 1;
    const raw = text.slice(start, at);
    return hasEscape ? raw.replace(/\\(.)/gs, '$1') : raw;
  }

  #literal(): Buffer {
    const literal = this.#literals[this.#nextLiteral];
    if (this.peek() === tilde) this.position += 1;
    if (this.peek() !== brace || literal === undefined) this.fail('Expected string');
    const marker = this.text.indexOf('}', this.position);
    if (marker + 1 !== literal.end) this.fail('Invalid literal size');
    this.#nextLiteral += 1;
    this.position = literal.end;
    return literal.octets;
  }

  /** astring as one char per octet. */
  astring(): string {
    if (this.isAtString) return this.string();
    const value = this.#while(isAstringChar);
    if (value === '') this.fail(this.isAtEnd ? 'Missing arguments.' : 'Invalid characters in atom');
    return value;
  }

  /** astring as text. */
  astringText(): string {
    return decodeUtf8(this.astring());
  }

  astringOctets(): Buffer {
    return this.isAtString ? this.stringOctets() : Buffer.from(this.astring(), 'latin1');
  }

  /** nstring as one char per octet; null for NIL. */
  nstring(): string | null {
    if (this.tryWord('NIL')) return null;
    if (!this.isAtString) this.fail('Expected string');
    return this.string();
  }

  /** @throws MailboxNameError when the name is not valid modified UTF-7 (or UTF-8) */
  mailbox(): string {
    const raw = this.astring();
    const name = decodeMailboxName(raw, this.isUtf8);
    if (name === undefined)
      throw new MailboxNameError(`Mailbox name is not valid ${this.isUtf8 ? 'UTF-8' : 'mUTF-7'}: ${raw.replace(/[^\x20-\x7e]/g, '?')}`);
    const suffix = this.ignoredSuffix;
    return suffix !== undefined && name.length > suffix.length && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
  }

  /** list-mailbox: a name with wildcards. */
  mailboxPattern(): string {
    let raw: string;
    if (this.isAtString) raw = this.string();
    else {
      raw = this.#while(isListChar);
      if (raw === '') this.fail(this.isAtEnd ? 'Missing arguments.' : 'Invalid mailbox pattern');
    }
    // A pattern that can match nothing is not an error (RFC 9051 6.3.9), so a broken encoding is searched for as it is.
    return decodeMailboxName(raw, this.isUtf8) ?? decodeUtf8(raw);
  }

  sequenceSet(): SequenceSet {
    if (this.tryChar('$')) return { kind: 'saved' };
    const text = this.#while((octet) => (octet >= 0x30 && octet <= 0x3a) || octet === star || octet === 0x2c);
    const ranges = parseNumberSet(text, grammarLimits.numberRanges);
    if (ranges === undefined) this.fail('Invalid messageset');
    return { kind: 'ranges', ranges };
  }

  /** True when a sequence set starts here. */
  get isAtSequenceSet(): boolean {
    const next = this.peek();
    return (next >= 0x30 && next <= 0x39) || next === star || next === 0x24;
  }

  /** `\Seen` or a keyword, as written. */
  flag(): string {
    if (this.tryChar('\\')) {
      if (this.tryChar('*')) return '\\*';
      return `\\${this.atom('flag')}`;
    }
    const value = this.#while((octet) => isAtomChar(octet) || octet === 0x5d);
    if (value === '') this.fail('Invalid flag');
    return value;
  }

  /** `(\Seen work)` */
  flagList(): string[] {
    return this.list(() => this.flag());
  }

  get isAtList(): boolean {
    return this.peek() === open;
  }

  /** Parenthesised items separated by blanks; `()` is an empty list. Nesting and length are limited. */
  list<Item>(item: () => Item): Item[] {
    if (!this.isAtList) this.fail(this.isAtEnd ? 'Missing arguments.' : 'Expected a list');
    if (this.#depth >= grammarLimits.nesting) this.fail("Too many '('");
    this.#depth += 1;
    this.position += 1;
    const items: Item[] = [];
    while (this.peek() === space) this.position += 1;
    while (this.peek() !== close) {
      if (this.isAtEnd) this.fail("Missing ')'");
      if (items.length >= grammarLimits.listItems) this.fail('Too many arguments in a list');
      items.push(item());
      if (this.peek() === close) break;
      this.space();
    }
    this.position += 1;
    this.#depth -= 1;
    return items;
  }
}
