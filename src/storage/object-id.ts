// Object identifiers (RFC 8474): at most 255 characters out of A-Z a-z 0-9 _ -.
import { createHash } from 'node:crypto';

/** EMAILID of a message from its GUID: the same for the same GUID, whatever characters a Maildir name has. */
export function emailIdOf(guid: string): string {
  return /^[0-9a-f]{32}$/.test(guid) ? `M${guid}` : `M${createHash('sha256').update(guid, 'utf8').digest('hex').slice(0, 40)}`;
}
