// Interned file-name suffixes: what follows the base name of a message (`:2,FS`). A mailbox has few distinct ones, so each is parsed once.
//
// `:2,` is followed by flag letters in ASCII order: D F P R S T, then keyword letters a to z (index 0 to 25 of dovecot-keywords). P and unknown
// letters belong to other programs and are kept; so is anything after a further comma.
import { flagBit } from '../types.js';

export interface Suffix {
  readonly text: string;
  /** `flagBit`. */
  readonly flags: number;
  /** Bit n: keyword letter n. */
  readonly letters: number;
  /** Letters that mean nothing to us. */
  readonly foreign: string;
  /** From a comma after the flags, or an unknown info block. */
  readonly tail: string;
}

const lettersOfFlags: readonly (readonly [letter: string, bit: number])[] = [
  ['D', flagBit.draft],
  ['F', flagBit.flagged],
  ['R', flagBit.answered],
  ['S', flagBit.seen],
  ['T', flagBit.deleted],
];
const flagOfLetter = new Map(lettersOfFlags);

/** Parses everything from the first colon of a file name; '' for none. */
export function parseSuffix(text: string): Suffix {
  const marker = text.lastIndexOf(':2,');
  if (marker < 0) return { text, flags: 0, letters: 0, foreign: '', tail: '' };
  let flags = 0;
  let letters = 0;
  let foreign = '';
  let index = marker + 3;
  for (; index < text.length; index += 1) {
    const letter = text.charAt(index);
    if (letter === ',') break;
    const flag = flagOfLetter.get(letter);
    if (flag !== undefined) flags |= flag;
    else if (letter >= 'a' && letter <= 'z') letters |= 1 << (letter.charCodeAt(0) - 97);
    else foreign += letter;
  }
  return { text, flags, letters, foreign, tail: text.slice(index) };
}

/** The suffix with these flags and keyword letters that keeps what is foreign in `old`. */
export function suffixText(flags: number, letters: number, old: Suffix): string {
  let upper = old.foreign;
  for (const [letter, bit] of lettersOfFlags) if ((flags & bit) !== 0) upper += letter;
  let text = [...new Set(upper)].sort().join('');
  for (let index = 0; index < 26; index += 1) if ((letters & (1 << index)) !== 0) text += String.fromCharCode(97 + index);
  return `:2,${text}${old.tail}`;
}

export class SuffixTable {
  readonly #entries: Suffix[] = [];
  readonly #idByText = new Map<string, number>();

  constructor() {
    this.idOf('');
  }

  get size(): number {
    return this.#entries.length;
  }

  /** Id 0 is the empty suffix. */
  idOf(text: string): number {
    const known = this.#idByText.get(text);
    if (known !== undefined) return known;
    const id = this.#entries.length;
    // A slice of a directory entry would keep the whole entry alive.
    const own = Buffer.from(text, 'latin1').toString('latin1');
    this.#entries.push(parseSuffix(own));
    this.#idByText.set(own, id);
    return id;
  }

  at(id: number): Suffix {
    const entry = this.#entries[id];
    if (entry === undefined) throw new RangeError(`suffix ${id}`);
    return entry;
  }
}
