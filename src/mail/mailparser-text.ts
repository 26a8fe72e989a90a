// Whole-message text through mailparser, for tools that want one plain text of everything (format=flowed joined, HTML rendered). It costs 200 ms
// and 14 MB to load, so nothing on a mail client's path uses it.
import type { Buffer } from 'node:buffer';

/** Plain text of a message; '' when it has none. HTML-only messages are rendered. */
export async function renderMessageText(message: Buffer): Promise<string> {
  const { simpleParser } = await import('mailparser');
  const parsed = await simpleParser(message, { skipImageLinks: true, skipTextToHtml: true });
  return parsed.text ?? '';
}
