// Address lists of RFC 5322 3.4 with the obsolete syntax of section 4.4 and what broken mailers send. Never fails: what makes no sense becomes
// an address that shows it.
import { HeaderLexer } from './lexer.js';
import type { OctetString } from './mime-part.js';

/**
 * One entry as ENVELOPE knows it (RFC 9051 7.5.2). A group begins with an entry whose `host` is null and `mailbox` is the group's name, and
 * ends with one where all are null.
 */
export interface MailAddress {
  /** Display name, comments and quotes removed, RFC 2047 words not decoded. */
  readonly name: OctetString | null;
  /** Obsolete source route, `@a,@b`. */
  readonly route: OctetString | null;
  /** Local part without quotes. */
  readonly mailbox: OctetString | null;
  readonly host: OctetString | null;
}

/** Stand-ins for the missing half of an address; a null host would mean a group. Webmail programs know these and hide them. */
export const missingMailbox = 'MISSING_MAILBOX';
export const missingDomain = 'MISSING_DOMAIN';

const groupEnd: MailAddress = { name: null, route: null, mailbox: null, host: null };

/** Words in front of `<`, `:`, `@` or a separator. */
interface Words {
  /** All of them as a display name. */
  readonly phrase: OctetString;
  /** The last run of words that dots hold together: a local part. */
  readonly localPart: OctetString;
  /** The words before that run. */
  readonly before: OctetString;
  readonly isQuoted: boolean;
}

/**
 * Parses a whole field value (unfolded or not). Entries are in message order.
 * @param maxEntries stop early, for callers that want the first address
 */
export function parseAddressList(text: OctetString, maxEntries = Number.POSITIVE_INFINITY): MailAddress[] {
  const lexer = new HeaderLexer(text);
  const list: MailAddress[] = [];
  let isInGroup = false;
  for (;;) {
    lexer.lastComment = undefined;
    lexer.skipCfws();
    if (lexer.isAtEnd || list.length >= maxEntries) break;
    if (lexer.accept(0x2c)) continue;
    if (lexer.accept(0x3b)) {
      if (isInGroup) list.push(groupEnd);
      isInGroup = false;
      continue;
    }
    const words = readWords(lexer);
    const next = lexer.peek();
    if (next === 0x3a && !isInGroup && words.phrase !== '') {
      lexer.position += 1;
      list.push({ ...groupEnd, mailbox: words.phrase });
      isInGroup = true;
    } else if (next === 0x3c) list.push(readAngleAddress(lexer, words));
    else if (next === 0x40) list.push(readBareAddress(lexer, words));
    else if (words.phrase !== '') list.push(lonelyWords(lexer, words));
    else if (next !== -1 && next !== 0x2c && next !== 0x3b) lexer.position += 1;
  }
  if (isInGroup && list.length < maxEntries) list.push(groupEnd);
  return list;
}

/** Reads words, dots and quoted strings up to something else. */
function readWords(lexer: HeaderLexer): Words {
  let phrase = '';
  let before = '';
  let localPart = '';
  let isQuoted = false;
  let hasSpace = false;
  for (;;) {
    const next = lexer.peek();
    let word: string;
    if (next === 0x22) word = lexer.quotedString();
    else if (next === 0x2e || (phrase !== '' && (next === 0x5c || next === 0x5d || next === 0x29))) {
      // Dots are words here (RFC 5322 obs-phrase, local parts); a stray backslash or closing bracket inside is kept as text.
      word = lexer.text.charAt(lexer.position);
      lexer.position += 1;
    } else word = lexer.atom();
    if (word === '' && next !== 0x22) return { phrase, before, localPart, isQuoted };
    if (hasSpace && word !== '.' && !localPart.endsWith('.')) {
      before = phrase;
      localPart = '';
    }
    phrase += hasSpace && phrase !== '' ? ` ${word}` : word;
    localPart += word;
    isQuoted = next === 0x22;
    hasSpace = lexer.skipCfws();
  }
}

/** Words that belong to no address: one bare word is taken for a local part, anything else for a name. */
function lonelyWords(lexer: HeaderLexer, words: Words): MailAddress {
  if (words.before === '' && !words.isQuoted)
    return { name: commentName(lexer), route: null, mailbox: words.localPart, host: missingDomain };
  return { name: words.phrase, route: null, mailbox: missingMailbox, host: missingDomain };
}

function commentName(lexer: HeaderLexer): OctetString | null {
  const comment = lexer.lastComment?.trim();
  return comment === undefined || comment === '' ? null : comment;
}

/** `local@domain (name)`; the lexer is at `@`. */
function readBareAddress(lexer: HeaderLexer, words: Words): MailAddress {
  lexer.position += 1;
  lexer.lastComment = undefined;
  const host = readDomain(lexer);
  // A second `@` has no meaning; the list goes on behind it.
  if (lexer.peek() === 0x40) lexer.until(',;');
  return {
    name: words.before === '' ? commentName(lexer) : words.before,
    route: null,
    mailbox: words.localPart === '' ? missingMailbox : words.localPart,
    host: host === '' ? missingDomain : host,
  };
}

/** `phrase <@route:local@domain>`; the lexer is at `<`. */
function readAngleAddress(lexer: HeaderLexer, words: Words): MailAddress {
  lexer.position += 1;
  lexer.skipCfws();
  const route = lexer.peek() === 0x40 ? readRoute(lexer) : null;
  const { phrase, before, localPart } = readWords(lexer);
  const mailbox = before === '' ? localPart : phrase;
  let host = '';
  if (lexer.accept(0x40)) host = readDomain(lexer);
  // Whatever else stands before the closing bracket is no part of an address; an unclosed one ends with this list entry.
  lexer.until('>,');
  lexer.accept(0x3e);
  lexer.skipCfws();
  return {
    name: words.phrase === '' ? commentName(lexer) : words.phrase,
    route,
    mailbox: mailbox === '' ? missingMailbox : mailbox,
    host: host === '' ? missingDomain : host,
  };
}

/** `@a,@b:` (RFC 5322 4.4 obs-route). Without its colon it is an address that lacks the local part: nothing is taken. */
function readRoute(lexer: HeaderLexer): OctetString | null {
  const start = lexer.position;
  const hosts: string[] = [];
  for (;;) {
    lexer.skipCfws();
    if (lexer.accept(0x40)) hosts.push(`@${readDomain(lexer)}`);
    else if (!lexer.accept(0x2c)) break;
  }
  if (lexer.accept(0x3a)) {
    lexer.skipCfws();
    return hosts.join(',');
  }
  lexer.position = start;
  return null;
}

function readDomain(lexer: HeaderLexer): OctetString {
  let host = '';
  for (;;) {
    lexer.skipCfws();
    const next = lexer.peek();
    if (next === 0x5b) host += lexer.domainLiteral();
    else if (next === 0x2e) {
      lexer.position += 1;
      host += '.';
    } else {
      // A second word without a dot before it belongs to what comes next.
      if (host !== '' && !host.endsWith('.')) return host;
      const atom = lexer.atom();
      if (atom === '') return host;
      host += atom;
    }
  }
}
