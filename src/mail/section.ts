// Section paths of FETCH BODY[...] and BINARY[...] (RFC 9051 6.4.5.1) on a message structure.
import { isMessagePart, type MimePart } from './mime-part.js';

/** `all`: BODY[2.1]; the others BODY[2.1.HEADER], BODY[2.1.TEXT], BODY[2.1.MIME]. HEADER.FIELDS selects from the `header` range. */
export type SectionKind = 'all' | 'header' | 'text' | 'mime';

/** Octets [start, end) of the message. */
export interface SectionRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds the part with this number, the message itself for an empty path.
 *
 * Part 1 of a message that is no multipart is its only part, also for an embedded message.
 */
export function findPart(root: MimePart, path: readonly number[]): MimePart | undefined {
  let part: MimePart = root;
  // What the next number counts in: the parts of a multipart, or a message.
  let message: MimePart | undefined = root;
  for (const number of path) {
    const container: MimePart | undefined = message ?? (part.type === 'multipart' ? part : undefined);
    const next: MimePart | undefined =
      container?.type === 'multipart' ? container.children[number - 1] : number === 1 ? message : undefined;
    if (next === undefined) return undefined;
    part = next;
    message = isMessagePart(part) ? part.children[0] : undefined;
  }
  return part;
}

/**
 * The octets a section names; undefined when the message has no such section (FETCH then answers NIL).
 *
 * HEADER and TEXT exist for the message itself and for embedded messages, MIME for numbered parts only.
 */
export function findSection(root: MimePart, path: readonly number[], kind: SectionKind = 'all'): SectionRange | undefined {
  const part = findPart(root, path);
  if (part === undefined) return undefined;
  const isRoot = path.length === 0;
  if (kind === 'mime') return isRoot ? undefined : { start: part.headerStart, end: part.bodyStart };
  if (kind === 'all') return { start: isRoot ? part.headerStart : part.bodyStart, end: part.bodyEnd };
  const message = isRoot ? part : isMessagePart(part) ? part.children[0] : undefined;
  if (message === undefined) return undefined;
  return kind === 'header' ? { start: message.headerStart, end: message.bodyStart } : { start: message.bodyStart, end: message.bodyEnd };
}
