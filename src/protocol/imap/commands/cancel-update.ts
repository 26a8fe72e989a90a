import type { CommandReader } from '../reader.js';

const maxTags = 100;

/** CANCELUPDATE (RFC 5267 4.3.5): tags of searches. */
export function parseCancelUpdate(reader: CommandReader): { readonly tags: readonly string[] } {
  const tags: string[] = [];
  reader.space();
  do {
    if (tags.length >= maxTags) reader.fail('Too many tags.');
    tags.push(reader.astring());
  } while (reader.trySpace());
  reader.end();
  return { tags };
}
