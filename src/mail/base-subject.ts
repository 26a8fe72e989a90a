// Base subject of RFC 5256 2.1: what is left of a subject without reply and forward decoration.
import { decodeWords } from './encoded-word.js';
import type { OctetString } from './mime-part.js';

export interface BaseSubject {
  /** Decoded text, white space runs as one space. Compare with `casemap`. */
  readonly text: string;
  /** True when something said reply or forward (needed by THREAD=REFERENCES, step 5). */
  readonly isReplyOrForward: boolean;
}

/** Longer subjects are compared by their beginning; keeps hostile ones from costing more than linear time. */
const maxSubjectLength = 4096;

const trailer = /(?:\(fwd\)|\s)$/i;
const leader = /(?:\[[^[\]]*\]\s*)*(?:re|fwd?)\s*(?:\[[^[\]]*\]\s*)?:|\s/iy;
const blob = /\[[^[\]]*\]\s*/y;
const forwardHeader = /^\[fwd:(.*)\]$/is;

/** @param subject raw field value, unfolded */
export function baseSubject(subject: OctetString): BaseSubject {
  return baseOfText(decodeWords(subject.slice(0, maxSubjectLength * 2)));
}

/** The same for text that is decoded already. */
export function baseOfText(subject: string): BaseSubject {
  let text = subject.slice(0, maxSubjectLength).replace(/[\s]+/g, ' ');
  let isReplyOrForward = false;
  for (;;) {
    const withoutTrailer = stripTrailer(text);
    const stripped = stripLeaders(withoutTrailer.text);
    if (withoutTrailer.isForward || stripped.hasLeader) isReplyOrForward = true;
    text = stripped.text;
    const forward = forwardHeader.exec(text);
    if (forward === null) return { text, isReplyOrForward };
    text = forward[1] ?? '';
    isReplyOrForward = true;
  }
}

/** Step 2: trailing "(fwd)" and white space. */
function stripTrailer(text: string): { readonly text: string; readonly isForward: boolean } {
  let end = text.length;
  let isForward = false;
  for (;;) {
    const match = trailer.exec(text.slice(Math.max(0, end - 5), end));
    if (match === null) return { text: text.slice(0, end), isForward };
    if (match[0].length > 1) isForward = true;
    end -= match[0].length;
  }
}

/** Steps 3 to 5: leaders, and blobs as long as something is left behind them. */
function stripLeaders(text: string): { readonly text: string; readonly hasLeader: boolean } {
  let position = 0;
  let hasLeader = false;
  for (;;) {
    const length = matchAt(leader, text, position);
    if (length > 0) {
      if (length > 1) hasLeader = true;
      position += length;
      continue;
    }
    const blobLength = matchAt(blob, text, position);
    if (blobLength === 0 || position + blobLength >= text.length) return { text: text.slice(position), hasLeader };
    position += blobLength;
  }
}

function matchAt(pattern: RegExp, text: string, position: number): number {
  pattern.lastIndex = position;
  return pattern.exec(text)?.[0].length ?? 0;
}
