// Text of an HTML body for search and previews: tags go, entities become characters. No rendering. Linear time for any input.

export interface HtmlTextOptions {
  /** Leave out block quotes (previews show what is new). */
  readonly skipQuotes?: boolean;
  /** Keep link targets, so that search finds them. */
  readonly keepLinks?: boolean;
}

const latin1Names =
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml';
const namedEntities = new Map<string, string>([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
  ['euro', '€'],
  ['ndash', '–'],
  ['mdash', '—'],
  ['lsquo', '‘'],
  ['rsquo', '’'],
  ['sbquo', '‚'],
  ['ldquo', '“'],
  ['rdquo', '”'],
  ['bdquo', '„'],
  ['hellip', '…'],
  ['bull', '•'],
  ['trade', '™'],
  ['zwnj', ''],
  ['zwj', ''],
  ['ensp', ' '],
  ['emsp', ' '],
  ['thinsp', ' '],
  ['oelig', 'œ'],
  ['OElig', 'Œ'],
  ['scaron', 'š'],
  ['Scaron', 'Š'],
  ['lsaquo', '‹'],
  ['rsaquo', '›'],
  ['dagger', '†'],
  ['larr', '←'],
  ['rarr', '→'],
  ['uarr', '↑'],
  ['darr', '↓'],
  ...latin1Names.split(' ').map((name, index): [string, string] => [name, String.fromCharCode(160 + index)]),
]);

const hiddenElements = new Set(['script', 'style', 'title', 'template', 'svg', 'object']);
const inlineElements = new Set([
  'a',
  'abbr',
  'b',
  'big',
  'code',
  'em',
  'font',
  'i',
  'ins',
  'del',
  'mark',
  's',
  'small',
  'span',
  'strong',
  'sub',
  'sup',
  'u',
  'wbr',
  'tt',
  'o:p',
]);
/** Tags whose quotes never close are few; after that many, quotes are no longer looked at. */
const maxQuoteFailures = 20;

export function htmlToText(html: string, options: HtmlTextOptions = {}): string {
  const parts: string[] = [];
  let quoteDepth = 0;
  let quoteFailures = 0;
  let position = 0;
  const add = (text: string): void => {
    if (text !== '' && (quoteDepth === 0 || options.skipQuotes !== true)) parts.push(decodeEntities(text));
  };
  while (position < html.length) {
    const open = html.indexOf('<', position);
    if (open === -1) break;
    add(html.slice(position, open));
    if (html.startsWith('<!--', open)) {
      position = after(html, '-->', open + 4);
      continue;
    }
    if (!/^[a-z/!?]$/i.test(html.charAt(open + 1))) {
      add('<');
      position = open + 1;
      continue;
    }
    let close = quoteFailures < maxQuoteFailures ? tagEnd(html, open) : html.indexOf('>', open);
    if (close === -1) {
      quoteFailures += 1;
      close = html.indexOf('>', open);
      if (close === -1) return parts.join('');
    }
    const tag = html.slice(open + 1, close);
    position = close + 1;
    const isClosing = tag.startsWith('/');
    const name = /^\/?([a-z][^\s/>]*)/i.exec(tag)?.[1]?.toLowerCase() ?? '';
    if (name === 'blockquote') quoteDepth = Math.max(0, quoteDepth + (isClosing ? -1 : 1));
    if (!inlineElements.has(name)) add(name === 'td' || name === 'th' ? ' ' : '\n');
    if (options.keepLinks === true && !isClosing) addLink(tag, add);
    if (hiddenElements.has(name) && !isClosing && !tag.endsWith('/')) position = endOfElement(html, name, position);
  }
  add(html.slice(position));
  return parts.join('');
}

/** Place of the `>` that ends the tag, quoted attribute values passed over; -1 when there is none. */
function tagEnd(html: string, open: number): number {
  let position = open + 1;
  for (;;) {
    const close = html.indexOf('>', position);
    if (close === -1) return -1;
    const quote = /["']/.exec(html.slice(position, close));
    if (quote === null) return close;
    const closing = html.indexOf(quote[0], position + quote.index + 1);
    if (closing === -1) return -1;
    position = closing + 1;
  }
}

function after(html: string, mark: string, from: number): number {
  const at = html.indexOf(mark, from);
  return at === -1 ? html.length : at + mark.length;
}

function endOfElement(html: string, name: string, from: number): number {
  const end = new RegExp(`</${name}`, 'gi');
  end.lastIndex = from;
  return end.exec(html) === null ? html.length : after(html, '>', end.lastIndex);
}

function addLink(tag: string, add: (text: string) => void): void {
  const link = /\b(?:href|src|alt|title)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/i.exec(tag);
  const target = link?.[1] ?? link?.[2] ?? link?.[3];
  if (target !== undefined && !target.startsWith('data:')) add(` ${target} `);
}

function decodeEntities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z][a-z0-9]{1,10}));?/gi,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return namedEntities.get(name) ?? namedEntities.get(name.toLowerCase()) ?? whole;
      const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? '', 16);
      return code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? '\ufffd' : String.fromCodePoint(code);
    },
  );
}
