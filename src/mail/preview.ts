// Preview of a message (RFC 8970): the beginning of what a person would read first.
import type { Buffer } from 'node:buffer';
import { decodeCharset, isKnownCharset, loadCharset } from './charset.js';
import { htmlToText } from './html-text.js';
import type { MimePart } from './mime-part.js';
import { parameterText } from './parameters.js';
import { allParts, type OctetSource } from './text.js';
import { decodeTransfer } from './transfer-encoding.js';

/** RFC 8970 3.1: at most 256 characters, 200 as the preferred length. */
const maxPreviewCharacters = 200;
/** Encoded octets of a part that are looked at: enough for plain text, and for HTML behind its style sheets. */
const plainBytes = 8 * 1024;
const htmlBytes = 256 * 1024;
const maxCandidates = 10;

/**
 * The first text part with something to show, plain text before HTML: white space runs as one space, quoted lines left out unless there is
 * nothing else; '' when the message has no text.
 */
export async function previewOf(source: OctetSource, root: MimePart): Promise<string> {
  let quoted = '';
  for (const part of candidates(root)) {
    const isHtml = part.subtype === 'html';
    const text = await beginningOf(source, part, isHtml ? htmlBytes : plainBytes);
    const preview = shorten(isHtml ? htmlToText(text, { skipQuotes: true }) : withoutQuotes(text));
    if (preview !== '') return preview;
    if (quoted === '') quoted = shorten(isHtml ? htmlToText(text) : text);
  }
  return quoted;
}

/** Text parts shown inline, plain text first; those of embedded messages come last. */
function candidates(root: MimePart): MimePart[] {
  const own: MimePart[] = [];
  const stack = [root];
  for (let part = stack.pop(); part !== undefined; part = stack.pop()) {
    if (isShown(part)) own.push(part);
    if (part.type === 'multipart') stack.push(...part.children.toReversed());
  }
  const list = own.length > 0 ? own : [...allParts(root)].filter(isShown);
  const rank = (part: MimePart): number => (part.subtype === 'html' ? 1 : 0);
  return list.sort((a, b) => rank(a) - rank(b)).slice(0, maxCandidates);
}

function isShown(part: MimePart): boolean {
  if (part.type !== 'text' || part.disposition?.kind === 'attachment') return false;
  return part.subtype === 'plain' || part.subtype === 'html' || part.subtype === 'enriched' || part.subtype === 'markdown';
}

async function beginningOf(source: OctetSource, part: MimePart, maxBytes: number): Promise<string> {
  const size = part.bodyEnd - part.bodyStart;
  const body = await source.read(part.bodyStart, Math.min(size, maxBytes));
  let octets = decodeTransfer(body, part.encoding);
  const charset = parameterText(part.parameters, 'charset');
  if (charset !== undefined && !isKnownCharset(charset)) await loadCharset(charset);
  if (size > maxBytes) octets = withoutCutCharacter(octets);
  return decodeCharset(octets, charset);
}

/** Drops an incomplete UTF-8 sequence at the end of a part that was cut. */
function withoutCutCharacter(octets: Buffer): Buffer {
  let end = octets.length;
  const stop = Math.max(0, end - 4);
  while (end > stop && ((octets[end - 1] ?? 0) & 0xc0) === 0x80) end -= 1;
  return end > stop && (octets[end - 1] ?? 0) >= 0xc0 ? octets.subarray(0, end - 1) : octets;
}

function withoutQuotes(text: string): string {
  return text.includes('>') ? text.replace(/^>.*$/gm, '') : text;
}

function shorten(text: string): string {
  const flat = text
    // Mailings pad their hidden preview line with invisible characters.
    .replace(/[\u00ad\u200b\u2060\ufeff]|\u034f/g, '')
    .replace(/[\s\u0000-\u001f\u007f-\u009f]+[\s\u0000-\u001f\u007f-\u009f\u200c\u200e\u200f]*/g, ' ')
    .trim();
  // Code points, not UTF-16 units, so that no surrogate pair is cut.
  if (flat.length <= maxPreviewCharacters) return flat;
  return [...flat.slice(0, maxPreviewCharacters * 2)].slice(0, maxPreviewCharacters).join('').trimEnd();
}
