// Takes passwords out of a client's octets on their way into a log: clients that are logged in already sometimes log in once more.

/** A line that begins otherwise within this many octets holds no password. */
const maxHeadBytes = 200;
const lineFeed = 0x0a;
const masked = Buffer.from(' <hidden>');

/** Arguments of LOGIN and AUTHENTICATE, literals included, become `<hidden>`. Lines of messages that look so are hidden, too. */
export class PasswordMask {
  /** Beginning of a line of which it is not clear yet what it is. */
  #head: Buffer = Buffer.alloc(0);
  #mode: 'head' | 'pass' | 'hide' = 'head';
  /** End of a hidden line, which may announce a literal. */
  #tail = '';
  #literalLeft = 0;

  /** @returns what may be logged of it; what is not decided yet comes later */
  push(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    for (let rest = chunk; rest.length > 0; ) rest = this.#take(rest, out);
    return out.length === 1 && out[0] !== undefined ? out[0] : Buffer.concat(out);
  }

  #take(octets: Buffer, out: Buffer[]): Buffer {
    if (this.#literalLeft > 0) {
      const count = Math.min(this.#literalLeft, octets.length);
      this.#literalLeft -= count;
      return octets.subarray(count);
    }
    const at = octets.indexOf(lineFeed);
    const end = at < 0 ? octets.length : at + 1;
    const part = octets.subarray(0, end);
    if (this.#mode === 'head') this.#decide(part, at >= 0, out);
    else if (this.#mode === 'pass') out.push(part);
    else this.#hide(part);
    if (at >= 0) this.#endLine(out);
    return octets.subarray(end);
  }

  #decide(part: Buffer, isWhole: boolean, out: Buffer[]): void {
    const head = Buffer.concat([this.#head, part]);
    const text = head.toString('latin1', 0, maxHeadBytes);
    const match = /^\S{1,128} +(?:LOGIN|AUTHENTICATE)(?= )/i.exec(text);
    if (match === null && !isWhole && head.length < maxHeadBytes) {
      this.#head = head;
      return;
    }
    this.#head = Buffer.alloc(0);
    if (match === null) {
      out.push(head);
      this.#mode = 'pass';
      return;
    }
    out.push(head.subarray(0, match[0].length), masked);
    this.#mode = 'hide';
    this.#hide(head.subarray(match[0].length));
  }

  #hide(part: Buffer): void {
    this.#tail = (this.#tail + part.toString('latin1')).slice(-32);
  }

  #endLine(out: Buffer[]): void {
    const literal = this.#mode === 'hide' ? /\{(\d{1,10})\+?\}\r?\n$/.exec(this.#tail) : null;
    this.#tail = '';
    if (literal !== null) {
      // What follows belongs to the same command.
      this.#literalLeft = Number(literal[1]);
      return;
    }
    if (this.#mode === 'hide') out.push(Buffer.from('\r\n'));
    this.#mode = 'head';
  }
}
