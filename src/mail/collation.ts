// i;unicode-casemap (RFC 5051): titlecase, then full decomposition. Used by SORT, THREAD and all text comparisons of SEARCH (I18NLEVEL=1).

const asciiOnly = /^[\x00-\x7f]*$/;

/** Text as it is compared: equal keys mean equal text under the collation. A key contained in another means a substring match. */
export function casemap(text: string): string {
  const upper = text.toUpperCase();
  if (asciiOnly.test(text)) return upper;
  // RFC 5051 maps characters one to one; where JavaScript would make two of one (ß to SS) the character stays.
  return (upper.length === text.length ? upper : casemapEach(text)).normalize('NFKD');
}

function casemapEach(text: string): string {
  let result = '';
  for (const character of text) {
    const upper = character.toUpperCase();
    result += upper.length === character.length ? upper : character;
  }
  return result;
}

/**
 * Casemapped text whose plain comparison (`<`) is the order of the collation: code points, as in UTF-8, not UTF-16 units.
 */
export function collationKey(text: string): string {
  const key = casemap(text);
  if (!/[\ud800-\udfff]/.test(key)) return key;
  return key.replace(/[\ud800-\uffff]/g, (unit) => {
    const code = unit.charCodeAt(0);
    // Surrogates sort above U+E000 to U+FFFF.
    return String.fromCharCode(code >= 0xe000 ? code - 0x800 : code + 0x2000);
  });
}

/** Order of two keys, for Array.sort. */
export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Looks for one text in many, case-insensitively under the collation. White space counts as it is. */
export class TextMatcher {
  readonly #needle: string;

  constructor(needle: string) {
    this.#needle = casemap(needle);
  }

  /** True when the text contains the needle; an empty needle is in every text. */
  isIn(text: string): boolean {
    return casemap(text).includes(this.#needle);
  }
}
