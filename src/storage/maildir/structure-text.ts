// MIME structures as octets for the cache: JSON, each octet string as latin1. Read back with checks, as the file may have been written by another
// version.
import type { MimePart } from '#mail/mime-part.js';

/** Larger structures are worked out again: they belong to rare mail. */
const maxTreeBytes = 256 * 1024;

export function encodeStructure(root: MimePart): Buffer | undefined {
  const bytes = Buffer.from(JSON.stringify(root), 'latin1');
  return bytes.length > maxTreeBytes ? undefined : bytes;
}

/** @returns undefined when it is not a structure */
export function decodeStructure(bytes: Buffer): MimePart | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('latin1'));
    return isPart(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isPart(value: unknown): value is MimePart {
  if (typeof value !== 'object' || value === null) return false;
  const has = (name: string, type: string): boolean => typeof Reflect.get(value, name) === type;
  if (!['headerStart', 'bodyStart', 'bodyEnd', 'bodyLines'].every((name) => has(name, 'number'))) return false;
  if (!['type', 'subtype', 'encoding'].every((name) => has(name, 'string'))) return false;
  const lists = ['parameters', 'language', 'children'].map((name): unknown => Reflect.get(value, name));
  const children = lists[2];
  return lists.every(Array.isArray) && Array.isArray(children) && children.every(isPart);
}
