// Paths of MAIL FROM and RCPT TO (RFC 5321 4.1.2, RFC 6531 for UTF-8), lenient where clients are, never where mail could go astray.

const maxPathBytes = 1024;
const maxLocalPartBytes = 256;
const maxDomainBytes = 255;

/** An envelope address. The null reverse-path `<>` has an empty local part and domain. */
export interface MailPath {
  /** Unquoted. */
  readonly localPart: string;
  /** Lower-case; '' when absent (`<postmaster>`). An address literal keeps its brackets. */
  readonly domain: string;
  /** As received, without angle brackets and source route, for Return-Path, logs and replies. */
  readonly text: string;
  readonly isUtf8: boolean;
}

export interface ParsedPath {
  readonly path: MailPath;
  /** What follows the path: ESMTP parameters. */
  readonly rest: string;
}

const atextRun = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10ffff}]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10ffff}]+)*/u;
const domainName =
  /^(?:[A-Za-z0-9_\u0080-\u{10ffff}](?:[A-Za-z0-9_\-\u0080-\u{10ffff}]*[A-Za-z0-9_\u0080-\u{10ffff}])?)(?:\.[A-Za-z0-9_\u0080-\u{10ffff}](?:[A-Za-z0-9_\-\u0080-\u{10ffff}]*[A-Za-z0-9_\u0080-\u{10ffff}])?)*\.?$/u;
const addressLiteral = /^\[(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|IPv6:[0-9A-Fa-f:.]+)\]$/;

/**
 * Parses `<path>` at the beginning of `text`; one blank before it and missing angle brackets are accepted, as every server does.
 *
 * @returns undefined when it is no path
 */
export function parsePath(text: string): ParsedPath | undefined {
  const start = text.trimStart();
  if (start.startsWith('<')) {
    const end = closingBracket(start);
    if (end < 0 || end > maxPathBytes) return undefined;
    const path = parseAddress(stripRoute(start.slice(1, end)));
    const rest = start.slice(end + 1);
    if (path === undefined || (rest !== '' && !rest.startsWith(' '))) return undefined;
    return { path, rest: rest.trim() };
  }
  const blank = start.indexOf(' ');
  const bare = blank < 0 ? start : start.slice(0, blank);
  const path = bare === '' ? undefined : parseAddress(bare);
  return path === undefined ? undefined : { path, rest: blank < 0 ? '' : start.slice(blank).trim() };
}

/** Index of the `>` that closes the path; one inside a quoted local part does not. */
function closingBracket(text: string): number {
  let isQuoted = false;
  for (let at = 1; at < text.length; at++) {
    const char = text[at];
    if (isQuoted && char === '\\') at++;
    else if (char === '"') isQuoted = !isQuoted;
    else if (char === '>' && !isQuoted) return at;
  }
  return -1;
}

/** RFC 5321 4.1.1.3: a source route is accepted and ignored. */
function stripRoute(text: string): string {
  if (!text.startsWith('@')) return text;
  const colon = text.indexOf(':');
  return colon < 0 ? text : text.slice(colon + 1);
}

function parseAddress(text: string): MailPath | undefined {
  if (/[\u0000-\u001f\u007f]/.test(text)) return undefined;
  const isUtf8 = /[^\u0000-\u007f]/.test(text);
  if (text === '') return { localPart: '', domain: '', text: '', isUtf8 };
  let localPart: string;
  let afterLocal: string;
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"\\]|\\.)*)"/.exec(text);
    if (quoted?.[1] === undefined) return undefined;
    localPart = quoted[1].replace(/\\(.)/g, '$1');
    afterLocal = text.slice(quoted[0].length);
  } else {
    const run = atextRun.exec(text);
    if (run === null) return undefined;
    localPart = run[0];
    afterLocal = text.slice(localPart.length);
  }
  if (localPart === '' || Buffer.byteLength(localPart) > maxLocalPartBytes) return undefined;
  if (afterLocal === '') return { localPart, domain: '', text, isUtf8 };
  if (!afterLocal.startsWith('@')) return undefined;
  const domain = afterLocal.slice(1);
  if (Buffer.byteLength(domain) > maxDomainBytes || !(domainName.test(domain) || addressLiteral.test(domain))) return undefined;
  return { localPart, domain: domain.toLowerCase().replace(/\.$/, ''), text, isUtf8 };
}
