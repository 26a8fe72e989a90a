import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import type { MimePart } from '#mail/mime-part.js';
import { allParts } from '#mail/text.js';

const folder = new URL('../../test/fixtures/messages/', import.meta.url);

export interface Reference {
  readonly envelope: string;
  readonly body: string;
  readonly bodystructure: string;
}

/** Names of the example messages. */
export function messageNames(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.eml'))
    .map((name) => name.slice(0, -4))
    .sort();
}

/** The octets of an example message as they are in its file. */
export function readMessage(name: string): Buffer {
  return readFileSync(new URL(`${name}.eml`, folder));
}

/** An example message with CRLF line ends, as Dovecot shows it. */
export function readMessageCrlf(name: string): Buffer {
  return Buffer.from(readMessage(name).toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1');
}

/** What Dovecot 2.3.19 answered, octet strings by message name. */
export function readReference(): Record<string, Reference> {
  return JSON.parse(readFileSync(new URL('reference.json', folder), 'utf8')) as Record<string, Reference>;
}

/** Text with LF line ends to the octets of a message with CRLF. */
export function crlf(text: string): Buffer {
  return Buffer.from(text.replace(/\r?\n/g, '\r\n'), 'latin1');
}

export type WireValue = string | null | readonly WireValue[];

/** Parses one IMAP value (list, string, literal, NIL, number); throws unless it is well-formed to its last octet. */
export function parseWire(text: string): WireValue {
  const [value, end] = parseAt(text, 0);
  if (end !== text.length) throw new Error(`trailing octets at ${end}`);
  return value;
}

function parseAt(text: string, start: number): [WireValue, number] {
  const first = text[start];
  if (first === '(') {
    const list: WireValue[] = [];
    let at = start + 1;
    while (text[at] !== ')') {
      // RFC 9051: items are separated by one space, only parts and addresses follow one another directly.
      if (list.length > 0 && text[at] === ' ') at += 1;
      else if (list.length > 0 && text[at] !== '(') throw new Error(`no space at ${at}`);
      const [value, end] = parseAt(text, at);
      list.push(value);
      at = end;
    }
    return [list, at + 1];
  }
  const quoted = /^"((?:[^"\\\r\n\0\x80-\xff]|\\["\\])*)"/.exec(text.slice(start));
  if (quoted !== null) return [(quoted[1] ?? '').replace(/\\(.)/g, '$1'), start + quoted[0].length];
  const literal = /^\{(\d+)\}\r\n/.exec(text.slice(start, start + 20));
  if (literal !== null) {
    const from = start + literal[0].length;
    const end = from + Number(literal[1]);
    const content = text.slice(from, end);
    if (content.length !== Number(literal[1]) || content.includes('\0')) throw new Error(`bad literal at ${start}`);
    return [content, end];
  }
  const atom = /^(NIL|\d+)(?=[ )]|$)/.exec(text.slice(start, start + 20));
  if (atom === null) throw new Error(`bad value at ${start}: ${text.slice(start, start + 20)}`);
  return [atom[1] === 'NIL' ? null : (atom[1] ?? ''), start + (atom[1] ?? '').length];
}

/** Offsets nest, and line counts are those of the octets they stand for. */
export function assertSound(message: Buffer, root: MimePart): void {
  const count = (from: number, to: number): number => message.subarray(from, to).filter((octet) => octet === 0x0a).length;
  assert.equal(root.headerStart, 0);
  assert.equal(root.bodyEnd, message.length);
  for (const part of allParts(root)) {
    assert.ok(part.headerStart <= part.bodyStart && part.bodyStart <= part.bodyEnd);
    assert.equal(part.bodyLines, count(part.bodyStart, part.bodyEnd));
    assert.equal(part.headerLines, count(part.headerStart, part.bodyStart));
    let before = part.bodyStart;
    for (const child of part.children) {
      assert.ok(child.headerStart >= before && child.bodyEnd <= part.bodyEnd, 'children lie inside, one behind the other');
      before = child.bodyEnd;
    }
  }
}
