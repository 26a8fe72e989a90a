// What a child says when it ends by itself. The exit status does not tell a full heap from another abort(): both are SIGABRT. The text does, which V8 and the
// C++ library write to standard error. Log lines of a role are JSON, so that nothing a client sends can begin a line like these.

/** Longer than any of the texts up to their end. */
const keptBytes = 512;
const outOfMemory = /^(FATAL ERROR: .*|#?\s*Fatal process |terminate called .*)(out of memory|bad_alloc)/im;

const openBrace = 0x7b;
const newline = 0x0a;

export class LastWords {
  #tail = '';
  #isOutOfMemory = false;

  push(chunk: Buffer): void {
    if (this.#tail === '' && isWholeJson(chunk)) return;
    this.#tail = (this.#tail + chunk.toString('latin1', Math.max(0, chunk.length - 16 * keptBytes))).slice(-16 * keptBytes);
    this.#isOutOfMemory ||= outOfMemory.test(this.#tail);
    this.#tail = this.#tail.slice(-keptBytes);
  }

  get isOutOfMemory(): boolean {
    return this.#isOutOfMemory;
  }
}

/** What nearly all chunks are: whole lines, each an object. */
function isWholeJson(chunk: Buffer): boolean {
  for (let at = 0; at < chunk.length; ) {
    const end = chunk.indexOf(newline, at);
    if (chunk[at] !== openBrace || end < 0) return false;
    at = end + 1;
  }
  return true;
}
