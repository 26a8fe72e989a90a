// The few header facts delivery needs, taken while the message streams by.

/** More header than this is not looked at; the message itself is not limited by it. */
const maxHeaderBytes = 64 * 1024;

const emptyLine = Buffer.from('\n\r\n');
const bareEmptyLine = Buffer.from('\n\n');

export type HeaderFieldName = 'message-id' | 'from' | 'subject';

/** Collects the beginning of a message until its header ends. */
export class HeaderFacts {
  #parts: Buffer[] = [];
  #size = 0;
  #facts: Facts | undefined;

  push(chunk: Buffer): void {
    if (this.#facts !== undefined) return;
    this.#parts.push(chunk.subarray(0, maxHeaderBytes - this.#size));
    this.#size += chunk.length;
    const seen = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    const end = headerEnd(seen);
    if (end >= 0 || this.#size >= maxHeaderBytes) this.#finish(seen, end);
    else this.#parts = [seen];
  }

  /** @param end where the last line of the header ends; -1 when that has not come: all of it is header */
  #finish(seen: Buffer, end: number): Facts {
    const length = Math.min(end < 0 ? seen.length : end + 1, maxHeaderBytes);
    this.#facts = factsOf(seen.toString('latin1', 0, length));
    this.#parts = [];
    return this.#facts;
  }

  #all(): Facts {
    return this.#facts ?? this.#finish(Buffer.concat(this.#parts), -1);
  }

  /** First field of that name, unfolded, without control characters; '' when absent. For log lines. */
  field(name: HeaderFieldName): string {
    const { texts } = this.#all();
    const text = texts[name];
    if (!text.isRaw) return text.value;
    text.value = text.value
      .replace(/[\u0000-\u001f\u007f]+/g, ' ')
      .trim()
      .slice(0, 200);
    text.isRaw = false;
    return text.value;
  }

  /** RFC 5321 6.3: each server adds one; a hundred of them are a loop. */
  receivedCount(): number {
    return this.#all().received;
  }
}

interface FieldText {
  value: string;
  /** As it is in the message. */
  isRaw: boolean;
}

interface Facts {
  received: number;
  readonly texts: Readonly<Record<HeaderFieldName, FieldText>>;
}

/** Index of the LF before the empty line; -1 when there is none. Only the header is looked through, not the message behind it. */
function headerEnd(octets: Buffer): number {
  const end = octets.indexOf(emptyLine);
  const bareEnd = (end < 0 ? octets : octets.subarray(0, end)).indexOf(bareEmptyLine);
  return bareEnd < 0 ? end : bareEnd;
}

const letters = { f: 0x66, m: 0x6d, r: 0x72, s: 0x73 } as const;

/** In one pass: each line is looked at by its first letter. */
function factsOf(header: string): Facts {
  const none = (): FieldText => ({ value: '', isRaw: false });
  const facts: Facts = { received: 0, texts: { 'message-id': none(), from: none(), subject: none() } };
  if (header.startsWith('\n') || header.startsWith('\r\n')) return facts;
  for (let at = 0; at < header.length; ) {
    const end = fieldEnd(header, at);
    switch (header.charCodeAt(at) | 0x20) {
      case letters.r:
        if (isNamed(header, at, 'received')) facts.received += 1;
        break;
      case letters.m:
        takeFirst(facts, header, at, end, 'message-id');
        break;
      case letters.f:
        takeFirst(facts, header, at, end, 'from');
        break;
      case letters.s:
        takeFirst(facts, header, at, end, 'subject');
        break;
    }
    at = end + 1;
  }
  return facts;
}

/** Index of the LF that ends a field, folded lines included; the end of the text when there is none. */
function fieldEnd(header: string, from: number): number {
  for (let at = from; ; ) {
    const end = header.indexOf('\n', at);
    if (end < 0) return header.length;
    const next = header.charCodeAt(end + 1);
    if (next !== 0x20 && next !== 0x09) return end;
    at = end + 1;
  }
}

function isNamed(header: string, at: number, name: string): boolean {
  return header[at + name.length] === ':' && header.slice(at, at + name.length).toLowerCase() === name;
}

function takeFirst({ texts }: Facts, header: string, at: number, end: number, name: HeaderFieldName): void {
  const text = texts[name];
  if (text.isRaw || !isNamed(header, at, name)) return;
  text.value = header.slice(at + name.length + 1, end);
  text.isRaw = true;
}
