// Lexical level of structured header fields (RFC 5322 3.2, RFC 2045 5.1) over octet strings, lenient: every function makes progress or says
// that it found nothing, unterminated strings and comments end with the text. Time is linear in the text.
import type { OctetString } from './mime-part.js';

const isAtomChar = new Uint8Array(256).fill(1);
for (const char of '()<>[]:;@\\,." \t\r\n') isAtomChar[char.charCodeAt(0)] = 0;

const isTokenChar = new Uint8Array(256).fill(1);
for (const char of '()<>@,;:\\"/[]?= \t\r\n') isTokenChar[char.charCodeAt(0)] = 0;

export class HeaderLexer {
  readonly text: OctetString;
  position = 0;
  /** The last comment skipped, unescaped and without its outer parentheses. */
  lastComment: OctetString | undefined;

  constructor(text: OctetString) {
    this.text = text;
  }

  get isAtEnd(): boolean {
    return this.position >= this.text.length;
  }

  /** Code of the next octet, -1 at the end. */
  peek(): number {
    return this.position < this.text.length ? this.text.charCodeAt(this.position) : -1;
  }

  /** Takes the octet with this code if it is next. */
  accept(code: number): boolean {
    if (this.peek() !== code) return false;
    this.position += 1;
    return true;
  }

  /** Skips white space, line ends and comments. @returns true when anything was skipped */
  skipCfws(): boolean {
    const { text } = this;
    const start = this.position;
    for (;;) {
      const code = this.position < text.length ? text.charCodeAt(this.position) : -1;
      if (code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a) this.position += 1;
      else if (code === 0x28) this.#skipComment();
      else return this.position > start;
    }
  }

  /** Atom with 8-bit octets and control characters allowed; empty when none is next. */
  atom(): OctetString {
    return this.#run(isAtomChar);
  }

  /** MIME token, 8-bit octets allowed; empty when none is next. */
  token(): OctetString {
    return this.#run(isTokenChar);
  }

  /** Content of the quoted string that is next, unescaped, line ends removed. Call only when `"` is next. */
  quotedString(): OctetString {
    return this.#delimited(0x22);
  }

  /** Domain literal with its brackets. Call only when `[` is next. */
  domainLiteral(): OctetString {
    return `[${this.#delimited(0x5d)}]`;
  }

  /** Everything up to one of the given characters or the end; quoted strings are not looked into. */
  until(stops: string): OctetString {
    const { text } = this;
    const start = this.position;
    while (this.position < text.length && !stops.includes(text.charAt(this.position))) this.position += 1;
    return text.slice(start, this.position);
  }

  #run(table: Uint8Array): OctetString {
    const { text } = this;
    const start = this.position;
    let position = start;
    while (position < text.length && table[text.charCodeAt(position) & 0xff] === 1) position += 1;
    this.position = position;
    return text.slice(start, position);
  }

  #delimited(close: number): OctetString {
    const { text } = this;
    let from = this.position + 1;
    let position = from;
    let value = '';
    while (position < text.length) {
      const code = text.charCodeAt(position);
      if (code === close) break;
      if (code === 0x5c && position + 1 < text.length) {
        value += text.slice(from, position);
        from = position + 1;
        position += 2;
      } else if (code === 0x0d || code === 0x0a) {
        value += text.slice(from, position);
        position += 1;
        from = position;
      } else position += 1;
    }
    value += text.slice(from, position);
    this.position = Math.min(position + 1, text.length);
    return value;
  }

  #skipComment(): void {
    const { text } = this;
    let depth = 1;
    let position = this.position + 1;
    let from = position;
    let value = '';
    while (position < text.length) {
      const code = text.charCodeAt(position);
      if (code === 0x5c && position + 1 < text.length) {
        value += text.slice(from, position);
        from = position + 1;
        position += 2;
        continue;
      }
      if (code === 0x28) depth += 1;
      else if (code === 0x29 && --depth === 0) break;
      position += 1;
    }
    value += text.slice(from, position);
    this.lastComment = value;
    this.position = Math.min(position + 1, text.length);
  }
}
