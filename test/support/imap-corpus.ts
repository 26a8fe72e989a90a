// What the transcripts' clients send, as seeds for fuzzing, and ways to spoil it.
import fc from 'fast-check';
import { decodeEscapes } from './escapes.js';
import type { Transcript } from './transcript.js';
import { readTranscripts } from './transcript-play.js';

/** One command with its literals and the last CRLF, as octets (one char each); variables are made plausible numbers. */
function commandsOf({ steps }: Transcript): string[] {
  return steps.flatMap((step, index) => {
    if (step.kind !== 'send' && step.kind !== 'raw') return [];
    const text = Buffer.from(step.text, 'utf8').toString('latin1');
    const plain = text.replace(/\$uid(\d)/g, '$1').replace(/\$[a-z]\w*/gi, '1');
    const whole = plain.replace(/(~?)<<(.*?)>>/gs, (_all, mark: string, inside: string) => {
      const octets = decodeEscapes(inside);
      return `${mark}{${octets.length}+}\r\n${octets}`;
    });
    return [step.kind === 'send' ? `s${index} ${whole}\r\n` : `${decodeEscapes(whole)}\r\n`];
  });
}

/** Every distinct command of all transcripts. */
export function corpus(): readonly string[] {
  const files = [...readTranscripts('imap'), ...readTranscripts('clients')];
  const all = files.flatMap(({ transcript }) => commandsOf(transcript));
  return [...new Map(all.map((text) => [text.replace(/^\S+/, ''), text])).values()];
}

/** Octets that mean something to the grammar, and some that do not. */
const spice = fc.constantFrom(
  ...[
    '(',
    ')',
    '"',
    '\\',
    ' ',
    '\r\n',
    '\n',
    '\r',
    '\0',
    '\xff',
    '\xc3\xa4',
    '*',
    '%',
    '$',
    '{1}',
    '{1+}\r\n',
    '{9+}',
    '~{2+}\r\n',
    '{0+}\r\n',
  ],
  ...[',', ':', '[', ']', '<0.1>', '4294967295', '4294967296', '0', '-1', 'NIL', '.', '/', ';', '&', '&-', 'UID ', '99999999999999999999'],
);

/** Cuts, doubles, removes and inserts, a few times each. */
export function mutated(seeds: readonly string[]): fc.Arbitrary<string> {
  const change = fc.tuple(
    fc.nat(2 ** 30),
    fc.nat(40),
    fc.constantFrom('insert', 'remove', 'double', 'cut', 'flip') as fc.Arbitrary<string>,
    spice,
  );
  return fc.tuple(fc.constantFrom(...seeds), fc.array(change, { maxLength: 4 })).map(([seed, changes]) => {
    let text = seed;
    for (const [where, length, kind, piece] of changes) {
      const at = text.length === 0 ? 0 : where % text.length;
      if (kind === 'insert') text = text.slice(0, at) + piece + text.slice(at);
      else if (kind === 'remove') text = text.slice(0, at) + text.slice(at + 1 + (length % 5));
      else if (kind === 'double') text = text.slice(0, at + length) + text.slice(at);
      else if (kind === 'cut') text = `${text.slice(0, at)}\r\n`;
      else text = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << (length % 8))) + text.slice(at + 1);
    }
    return text;
  });
}

/** ROOST_FUZZ_SECONDS makes fuzzing go on for so long instead of a fixed number of runs. */
export function fuzzParameters(runs: number): { readonly numRuns: number; readonly interruptAfterTimeLimit?: number } {
  const seconds = Number(process.env['ROOST_FUZZ_SECONDS'] ?? 0);
  return seconds > 0 ? { numRuns: 1_000_000_000, interruptAfterTimeLimit: seconds * 1000 } : { numRuns: runs };
}
