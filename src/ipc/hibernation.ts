// What travels with an IMAP session to the imap-hibernate process and back, in `fields` of the hand-off request (docs/ipc.md, "Hibernation"):
//   session   the state of the session, JSON; only imap processes look into it
//   seal      made by an imap process over `session`: the imap process that gets the session back believes nothing else
//   hold      what imap-hibernate needs to know, JSON
import type { HandoffRequest } from './peer.js';

export interface HoldOrder {
  /** Folders to watch, and their mtimes (ms) as the session has last seen them: any other value means that something happened in between. */
  readonly folders: readonly { readonly path: string; readonly mtimeMs: number }[];
  /** `* OK Still here` after each of these, ms; 0 never. */
  readonly keepAliveMs: number;
  /** The client has been silent too long after this, ms. */
  readonly inactivityMs: number;
  /** Octets of the session so far and counts, for the line that is logged when it ends here (imap_logout_format, filled in). */
  readonly logoutText: string;
}

export interface HibernatedFields {
  readonly session: string;
  readonly seal: string;
  readonly hold: HoldOrder;
}

/** Longest `session` text: sessions with more to remember stay where they are. */
export const maxSessionTextLength = 65_536;

export function hibernatedFields({ session, seal, hold }: HibernatedFields): Readonly<Record<string, string>> {
  return { session, seal, hold: JSON.stringify(hold) };
}

/** Undefined when the request is no hibernated session. */
export function parseHibernatedFields({ fields }: HandoffRequest): HibernatedFields | undefined {
  const { session, seal, hold } = fields;
  if (session === undefined || seal === undefined || hold === undefined) return undefined;
  const order = parseHoldOrder(hold);
  return order === undefined ? undefined : { session, seal, hold: order };
}

function parseHoldOrder(text: string): HoldOrder | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { folders, keepAliveMs, inactivityMs, logoutText }: Partial<Record<keyof HoldOrder, unknown>> = value;
  if (!Array.isArray(folders) || typeof logoutText !== 'string' || !isDuration(keepAliveMs) || !isDuration(inactivityMs)) return undefined;
  const parsed: { path: string; mtimeMs: number }[] = [];
  for (const folder of folders as unknown[]) {
    if (typeof folder !== 'object' || folder === null) return undefined;
    const { path, mtimeMs }: { path?: unknown; mtimeMs?: unknown } = folder;
    if (typeof path !== 'string' || typeof mtimeMs !== 'number') return undefined;
    parsed.push({ path, mtimeMs });
  }
  return { folders: parsed, keepAliveMs, inactivityMs, logoutText };
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
