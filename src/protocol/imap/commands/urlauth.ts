// GENURLAUTH, RESETKEY, URLFETCH (RFC 4467 7).
import type { CommandReader } from '../reader.js';

const maxUrls = 100;

export interface GenUrlAuthCommand {
  readonly urls: readonly { readonly url: string; readonly mechanism: string }[];
}

export function parseGenUrlAuth(reader: CommandReader): GenUrlAuthCommand {
  const urls: GenUrlAuthCommand['urls'][number][] = [];
  reader.space();
  do {
    if (urls.length >= maxUrls) reader.fail('Too many URLs.');
    const url = reader.astring();
    reader.space();
    urls.push({ url, mechanism: reader.word('mechanism') });
  } while (reader.trySpace());
  reader.end();
  return { urls };
}

export interface ResetKeyCommand {
  /** Undefined: of all mailboxes. */
  readonly mailbox: string | undefined;
  readonly mechanisms: readonly string[];
}

export function parseResetKey(reader: CommandReader): ResetKeyCommand {
  if (!reader.trySpace()) {
    reader.end();
    return { mailbox: undefined, mechanisms: [] };
  }
  const mailbox = reader.mailbox();
  const mechanisms: string[] = [];
  while (reader.trySpace()) {
    if (mechanisms.length >= maxUrls) reader.fail('Too many mechanisms.');
    mechanisms.push(reader.word('mechanism'));
  }
  reader.end();
  return { mailbox, mechanisms };
}

export function parseUrlFetch(reader: CommandReader): { readonly urls: readonly string[] } {
  const urls: string[] = [];
  reader.space();
  do {
    if (urls.length >= maxUrls) reader.fail('Too many URLs.');
    urls.push(reader.astring());
  } while (reader.trySpace());
  reader.end();
  return { urls };
}
