// The few header facts delivery needs, taken while the message streams by.

/** More header than this is not looked at; the message itself is not limited by it. */
const maxHeaderBytes = 64 * 1024;

/** Collects the beginning of a message until its header ends. */
export class HeaderFacts {
  #parts: Buffer[] = [];
  #size = 0;
  #text: string | undefined;

  push(chunk: Buffer): void {
    if (this.#text !== undefined) return;
    this.#parts.push(chunk.subarray(0, maxHeaderBytes - this.#size));
    this.#size += chunk.length;
    const seen = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    if (seen.indexOf('\n\r\n') >= 0 || seen.indexOf('\n\n') >= 0 || this.#size >= maxHeaderBytes) this.#finish(seen);
    else this.#parts = [seen];
  }

  #finish(seen: Buffer): void {
    const text = seen.subarray(0, maxHeaderBytes).toString('latin1').replace(/\r\n/g, '\n');
    const end = text.indexOf('\n\n');
    this.#text = text.startsWith('\n') ? '' : end < 0 ? text : text.slice(0, end + 1);
    this.#parts = [];
  }

  #header(): string {
    if (this.#text === undefined) this.#finish(Buffer.concat(this.#parts));
    return this.#text ?? '';
  }

  /** First field of that name, unfolded, without control characters; '' when absent. For log lines. */
  field(name: string): string {
    const match = new RegExp(`^${name}:(.*(?:\\n[ \\t].*)*)`, 'im').exec(this.#header());
    return (match?.[1] ?? '')
      .replace(/[\u0000-\u001f\u007f]+/g, ' ')
      .trim()
      .slice(0, 200);
  }

  /** RFC 5321 6.3: each server adds one; a hundred of them are a loop. */
  receivedCount(): number {
    return this.#header().match(/^received:/gim)?.length ?? 0;
  }
}
