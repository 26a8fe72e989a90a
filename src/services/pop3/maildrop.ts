// The snapshot of INBOX that a POP3 session works on (RFC 1939 3: message numbers do not change while it lasts).
import { createHash } from 'node:crypto';
import type { MailboxView, MessageReader } from '#storage/mailbox.js';
import { flagBit, type Uid } from '#storage/types.js';

const sliceSize = 1_000;
const noKeywords: readonly string[] = [];

export interface MaildropOptions {
  /** `%08Xu%08Xv` with the variables of pop3_uidl_format. */
  readonly uidlFormat: string;
  readonly renamesDuplicates: boolean;
  /** Keyword or system flag that hides a message; '' for none. */
  readonly deletedFlag: string;
}

export interface CommitResult {
  readonly deleted: number;
}

/** Numbers are 1 to `count` for the client, whatever their sequence numbers in the view are. */
export class Maildrop {
  readonly #view: MailboxView;
  readonly #options: MaildropOptions;
  readonly #sequence: readonly number[];
  readonly #sizes: Float64Array;
  readonly #deleted: Uint8Array;
  readonly #seen: Uint8Array;
  #uidls: readonly string[] | undefined;
  #deletedCount = 0;
  #deletedBytes = 0;
  readonly totalBytes: number;

  private constructor(view: MailboxView, options: MaildropOptions, sequence: readonly number[], sizes: Float64Array) {
    this.#view = view;
    this.#options = options;
    this.#sequence = sequence;
    this.#sizes = sizes;
    this.#deleted = new Uint8Array(sequence.length);
    this.#seen = new Uint8Array(sequence.length);
    this.totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Reads the sizes of all messages (from the index, not from the files). */
  static async open(view: MailboxView, options: MaildropOptions, signal: AbortSignal): Promise<Maildrop> {
    const sequence: number[] = [];
    const sizes: number[] = [];
    for (let from = 1; from <= view.count; from += sliceSize) {
      const slice: number[] = [];
      for (let seq = from; seq < from + sliceSize && seq <= view.count; seq++)
        if (!isHidden(view, seq, options.deletedFlag)) slice.push(seq);
      const gone = new Set(await view.prepare(slice, { size: true }, signal));
      for (const seq of slice) {
        if (gone.has(seq)) continue;
        sequence.push(seq);
        sizes.push(view.sizeAt(seq));
      }
    }
    return new Maildrop(view, options, sequence, Float64Array.from(sizes));
  }

  /** Messages at the beginning, deleted ones included: the highest number. */
  get count(): number {
    return this.#sequence.length;
  }

  get remaining(): { readonly count: number; readonly bytes: number } {
    return { count: this.count - this.#deletedCount, bytes: this.totalBytes - this.#deletedBytes };
  }

  isDeleted(number: number): boolean {
    return this.#deleted[number - 1] === 1;
  }

  sizeOf(number: number): number {
    return this.#sizes[number - 1] ?? 0;
  }

  /** Marks for deletion at QUIT. */
  delete(number: number): void {
    if (this.isDeleted(number)) return;
    this.#deleted[number - 1] = 1;
    this.#deletedCount += 1;
    this.#deletedBytes += this.sizeOf(number);
  }

  reset(): void {
    this.#deleted.fill(0);
    this.#seen.fill(0);
    this.#deletedCount = 0;
    this.#deletedBytes = 0;
  }

  markSeen(number: number): void {
    this.#seen[number - 1] = 1;
  }

  open(number: number, signal: AbortSignal): Promise<MessageReader> {
    return this.#view.openMessage(this.#sequence[number - 1] ?? 0, signal);
  }

  /** Highest number retrieved so far or marked \Seen before (LAST, RFC 1460). */
  last(): number {
    for (let number = this.count; number > 0; number--) {
      if (this.#seen[number - 1] === 1 || (this.#view.systemFlagsAt(this.#sequence[number - 1] ?? 0) & flagBit.seen) !== 0) return number;
    }
    return 0;
  }

  /** Unique ids of all messages (RFC 1939 7), 1 to 70 printable characters each. */
  async uidls(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#uidls !== undefined) return this.#uidls;
    const digests = /%[0-9.-]*[A-Z]*m/.test(this.#options.uidlFormat) ? await this.#headerDigests(signal) : undefined;
    const seen = new Map<string, number>();
    this.#uidls = this.#sequence.map((seq, index) => {
      const uidl = formatUidl(this.#options.uidlFormat, {
        u: this.#view.uidAt(seq),
        v: this.#view.mailbox.uidValidity,
        m: digests?.[index] ?? '',
        f: this.#view.guidAt(seq),
        g: this.#view.guidAt(seq),
      });
      const times = (seen.get(uidl) ?? 0) + 1;
      seen.set(uidl, times);
      return times > 1 && this.#options.renamesDuplicates ? `${uidl}-${times}` : uidl;
    });
    return this.#uidls;
  }

  async #headerDigests(signal: AbortSignal): Promise<string[]> {
    const digests: string[] = [];
    for (const seq of this.#sequence) {
      const reader = await this.#view.openMessage(seq, signal);
      try {
        const { bodyStart } = await reader.structure();
        digests.push(
          createHash('md5')
            .update(await reader.read(0, bodyStart))
            .digest('hex'),
        );
      } finally {
        await reader.close();
      }
    }
    return digests;
  }

  /** QUIT: flags and deletions take effect together. `deletes` is false when the connection broke (RFC 1939 6: nothing is deleted). */
  async commit(
    options: { readonly deletes: boolean; readonly setsSeen: boolean; readonly expunges: boolean },
    signal: AbortSignal,
  ): Promise<CommitResult> {
    if (options.setsSeen)
      await this.#store(
        this.#marked(this.#seen).filter((seq) => (this.#view.systemFlagsAt(seq) & flagBit.seen) === 0),
        flagBit.seen,
        noKeywords,
        signal,
      );
    if (!options.deletes || this.#deletedCount === 0) return { deleted: 0 };
    const seqs = this.#marked(this.#deleted);
    if (options.expunges) {
      const uids: Uid[] = seqs.map((seq) => this.#view.uidAt(seq));
      // An IMAP client that stores flags at that moment would take the mark off again.
      await this.#view.expunge(uids, signal, 'any');
    } else {
      const { system, keywords } = parseFlag(this.#options.deletedFlag);
      await this.#store(seqs, system, keywords, signal);
    }
    return { deleted: seqs.length };
  }

  #marked(marks: Uint8Array): number[] {
    return this.#sequence.filter((_, index) => marks[index] === 1);
  }

  async #store(seqs: readonly number[], system: number, keywords: readonly string[], signal: AbortSignal): Promise<void> {
    if (seqs.length === 0) return;
    await this.#view.store(seqs, { mode: 'add', flags: { system, keywords }, unchangedSince: undefined }, { silent: true }, signal);
  }
}

function parseFlag(flag: string): { readonly system: number; readonly keywords: readonly string[] } {
  const name = flag.replace(/^\\/, '').toLowerCase();
  for (const [known, bit] of Object.entries(flagBit)) {
    if (flag.startsWith('\\') && known === name) return { system: bit, keywords: [] };
  }
  return { system: 0, keywords: [flag] };
}

function isHidden(view: MailboxView, seq: number, flag: string): boolean {
  if (flag === '') return false;
  const { system, keywords } = parseFlag(flag);
  return (view.systemFlagsAt(seq) & system) !== 0 || keywords.some((keyword) => view.keywordsAt(seq).includes(keyword));
}

/** pop3_uidl_format: `%` [width] [X|L|U] variable; X is hexadecimal, a leading 0 of the width pads with zeros. */
export function formatUidl(format: string, values: Readonly<Record<string, string | number>>): string {
  return format.replace(/%(0?)(\d*)([XLU]?)([uvmfg%])/g, (whole, zero: string, width: string, modifier: string, name: string) => {
    if (name === '%') return '%';
    const value = values[name];
    if (value === undefined) return whole;
    let text = modifier === 'X' ? Number(value).toString(16) : String(value);
    if (modifier === 'L') text = text.toLowerCase();
    if (modifier === 'U') text = text.toUpperCase();
    if (width === '') return text;
    return zero === '0' ? text.padStart(Number(width), '0').slice(-Number(width)) : text.slice(0, Number(width));
  });
}
