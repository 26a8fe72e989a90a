// Flags between the wire and the storage contract.
import { encodeUtf8 } from '#protocol/imap/grammar.js';
import type { KeptFlags } from '#storage/mailbox.js';
import { type FlagSet, flagBit, type SystemFlag } from '#storage/types.js';

const names: readonly (readonly [SystemFlag, string])[] = [
  ['answered', '\\Answered'],
  ['flagged', '\\Flagged'],
  ['deleted', '\\Deleted'],
  ['seen', '\\Seen'],
  ['draft', '\\Draft'],
];
const bits = new Map(names.map(([flag, name]) => [name.toLowerCase(), flagBit[flag]]));
/** All that a client can change. */
const systemFlagNames = names.map(([, name]) => name);

/** Text of each of the 64 sets of system flags, without parentheses; \Recent first, as it is the one that a session sees once. */
const systemTexts: readonly string[] = Array.from({ length: 64 }, (_, mask) =>
  [
    ...((mask & flagBit.recent) !== 0 ? ['\\Recent'] : []),
    ...names.filter(([flag]) => (mask & flagBit[flag]) !== 0).map(([, name]) => name),
  ].join(' '),
);

const noFlags = { set: { system: 0, keywords: [] }, invalid: undefined } as const;

/** `flags` as written by a client. Unknown flags with a backslash (\Recent among them) can not be set: `invalid` names the first one. */
export function toFlagSet(flags: readonly string[]): { readonly set: FlagSet; readonly invalid: string | undefined } {
  if (flags.length === 0) return noFlags;
  let system = 0;
  let invalid: string | undefined;
  const keywords: string[] = [];
  const seen = new Set<string>();
  for (const flag of flags) {
    const lower = flag.toLowerCase();
    if (flag.startsWith('\\')) {
      const bit = bits.get(lower);
      if (bit === undefined) invalid ??= flag;
      else system |= bit;
    } else if (!seen.has(lower)) {
      seen.add(lower);
      keywords.push(flag);
    }
  }
  return { set: { system, keywords }, invalid };
}

/** Texts of flag sets, cached by the identity of the keyword array (the storage hands out one array for each set). */
export class FlagText {
  /** Made for the first text: most sessions ask for none. */
  #byKeywords: WeakMap<readonly string[], string[]> | undefined;
  /** \Recent is no more (RFC 9051 2.3.2). */
  hidesRecent = false;

  /** `(\Seen work)` */
  list(flags: number, keywords: readonly string[]): string {
    const system = this.hidesRecent ? flags & ~flagBit.recent : flags;
    this.#byKeywords ??= new WeakMap();
    let texts = this.#byKeywords.get(keywords);
    if (texts === undefined) {
      texts = [];
      this.#byKeywords.set(keywords, texts);
    }
    let text = texts[system];
    if (text === undefined) {
      text = formatFlags(system, keywords);
      texts[system] = text;
    }
    return text;
  }
}

function formatFlags(system: number, keywords: readonly string[]): string {
  const parts = [systemTexts[system & 63] ?? '', ...keywords.map(encodeUtf8)].filter((part) => part !== '');
  return `(${parts.join(' ')})`;
}

/** What FLAGS and PERMANENTFLAGS list: system flags first, then keywords. */
export function allFlags(keywords: readonly string[]): string {
  return [...systemFlagNames, ...keywords.map(encodeUtf8)].join(' ');
}

/** Those of them that may be changed. */
export function changeableFlags(keywords: readonly string[], kept: KeptFlags): string {
  const system = names.filter(([flag]) => (kept.system & flagBit[flag]) !== 0).map(([, name]) => name);
  return [...system, ...(kept.keywords ? keywords.map(encodeUtf8) : [])].join(' ');
}
