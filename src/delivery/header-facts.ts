// The few header facts delivery needs, taken while the message streams by.

/** More header than this is not looked at; the message itself is not limited by it. */
const maxHeaderBytes = 64 * 1024;

const emptyLine = Buffer.from('\n\r\n');
const bareEmptyLine = Buffer.from('\n\n');

/** The first field of a name, folded lines included. */
const patterns = {
  'message-id': /^message-id:(.*(?:\n[ \t].*)*)/im,
  from: /^from:(.*(?:\n[ \t].*)*)/im,
  subject: /^subject:(.*(?:\n[ \t].*)*)/im,
} as const;

export type HeaderFieldName = keyof typeof patterns;

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
    const end = headerEnd(seen);
    if (end >= 0 || this.#size >= maxHeaderBytes) this.#finish(seen, end);
    else this.#parts = [seen];
  }

  /** @param end where the last line of the header ends; -1 when that has not come: all of it is header */
  #finish(seen: Buffer, end: number): void {
    const length = Math.min(end < 0 ? seen.length : end + 1, maxHeaderBytes);
    const text = seen.toString('latin1', 0, length).replace(/\r\n/g, '\n');
    this.#text = text.startsWith('\n') ? '' : text;
    this.#parts = [];
  }

  #header(): string {
    if (this.#text === undefined) this.#finish(Buffer.concat(this.#parts), -1);
    return this.#text ?? '';
  }

  /** First field of that name, unfolded, without control characters; '' when absent. For log lines. */
  field(name: HeaderFieldName): string {
    return (patterns[name].exec(this.#header())?.[1] ?? '')
      .replace(/[\u0000-\u001f\u007f]+/g, ' ')
      .trim()
      .slice(0, 200);
  }

  /** RFC 5321 6.3: each server adds one; a hundred of them are a loop. */
  receivedCount(): number {
    return this.#header().match(/^received:/gim)?.length ?? 0;
  }
}

/** Index of the LF before the empty line; -1 when there is none. Only the header is looked through, not the message behind it. */
function headerEnd(octets: Buffer): number {
  const end = octets.indexOf(emptyLine);
  const bareEnd = (end < 0 ? octets : octets.subarray(0, end)).indexOf(bareEmptyLine);
  return bareEnd < 0 ? end : bareEnd;
}
