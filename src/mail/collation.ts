// i;unicode-casemap (RFC 5051): titlecase, then full decomposition. Used by SORT, THREAD and all text comparisons of SEARCH (I18NLEVEL=1).

const asciiOnly = /^[\x00-\x7f]*$/;

/** Characters of which JavaScript's upper case makes several; RFC 5051 maps one to one, so they stay. */
const expanding = /([ßŉǰΐΰևẖ-ẚὐὒὔὖᾀ-ᾯᾲ-ᾴᾶᾷᾼῂ-ῄῆῇῌῒΐῖῗ\u1fd3ῢ-ῤῦῧῲ-ῴῶῷῼﬀ-ﬆﬓ-ﬗ]+)/;
const notAscii = /[^\x00-\x7f]+/g;
/** Decompositions of single characters, which are few in any one language. */
const decompositions = new Map<string, string>();
const maxDecompositions = 2000;

/** Text as it is compared: equal keys mean equal text under the collation. A key contained in another means a substring match. */
export function casemap(text: string): string {
  const upper = text.toUpperCase();
  if (asciiOnly.test(text)) return upper;
  const mapped = upper.length === text.length ? upper : casemapParts(text);
  // Runs of other characters decompose on their own: ASCII letters neither change nor take part in the order of combining marks.
  return mapped.replace(notAscii, decompose);
}

function casemapParts(text: string): string {
  return text
    .split(expanding)
    .map((piece, index) => (index % 2 === 1 ? piece : piece.toUpperCase()))
    .join('');
}

function decompose(run: string): string {
  if (run.length > 1) return run.normalize('NFKD');
  let result = decompositions.get(run);
  if (result === undefined) {
    result = run.normalize('NFKD');
    if (decompositions.size < maxDecompositions) decompositions.set(run, result);
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
