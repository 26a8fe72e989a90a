// The octets an IMAP URL points to, inside the account of the session.
import type { ImapUrl } from '#protocol/imap/imap-url.js';
import { StorageError } from '#storage/errors.js';
import type { MessageReader } from '#storage/mailbox.js';
import type { MailUser } from '#storage/user.js';
import { locateSection } from './message-section.js';
import { demandRights } from './rights.js';
import type { Session } from './session.js';

export interface UrlContent extends AsyncDisposable {
  /** Octets. */
  readonly size: number;
  /** In pieces. @throws StorageError */
  chunks(): AsyncGenerator<Buffer>;
}

const chunkBytes = 131_072;

/** Whether URLs can carry an authorization: the server knows its name. */
export function hasUrlAuth({ settings }: Session): boolean {
  return settings.imap_urlauth_host !== '';
}

/** Without a name of its own a server cannot say of any URL that it is meant. */
export function isThisServer({ settings }: Session, { host, port }: NonNullable<ImapUrl['server']>): boolean {
  const name = settings.imap_urlauth_host;
  return (name === '*' || name.toLowerCase() === host) && port === settings.imap_urlauth_port;
}

/**
 * What the session's user may read.
 * @returns undefined when there is no such mailbox, message or part, or it is of another user or server, or may not be read
 */
export async function openUrl(session: Session, url: ImapUrl, signal: AbortSignal): Promise<UrlContent | undefined> {
  if (url.server !== undefined && !isThisServer(session, url.server)) return undefined;
  if (url.server?.user !== undefined && url.server.user !== session.user.name) return undefined;
  const name = url.mailbox ?? session.selectedView?.mailbox.name;
  return name === undefined
    ? undefined
    : openUrlOf(session.user, name, url, (mailbox) => demandRights(session, mailbox, 'r', signal), signal);
}

/**
 * What an account holds below a name.
 * @param demand throws when it may not be read
 */
export async function openUrlOf(
  user: MailUser,
  name: string,
  url: ImapUrl,
  demand: (mailbox: string) => Promise<void>,
  signal: AbortSignal,
): Promise<UrlContent | undefined> {
  try {
    const mailbox = await user.openMailbox(name, signal);
    await demand(name);
    if (url.uidValidity !== undefined && url.uidValidity !== mailbox.uidValidity) return undefined;
    const view = await mailbox.openView({ readOnly: true }, signal);
    let reader: MessageReader | undefined;
    try {
      const seq = view.seqOf(url.uid);
      reader = seq === 0 ? undefined : await view.openMessage(seq, signal);
      const content = reader === undefined ? undefined : await contentOf(reader, url);
      if (reader === undefined || content === undefined) {
        await reader?.close();
        await view[Symbol.asyncDispose]();
        return undefined;
      }
      const open = reader;
      return {
        ...content,
        async [Symbol.asyncDispose]() {
          await open.close();
          await view[Symbol.asyncDispose]();
        },
      };
    } catch (error) {
      await reader?.close();
      await view[Symbol.asyncDispose]();
      throw error;
    }
  } catch (error) {
    const isMissing =
      error instanceof StorageError && ['not-found', 'not-selectable', 'invalid-name', 'expunged', 'no-permission'].includes(error.code);
    if (isMissing) return undefined;
    throw error;
  }
}

async function contentOf(
  reader: MessageReader,
  { section, partial }: ImapUrl,
): Promise<Omit<UrlContent, keyof AsyncDisposable> | undefined> {
  const located = await locateSection(reader, section, partial);
  switch (located.kind) {
    case 'nil':
      return undefined;
    case 'octets':
      return {
        size: located.octets.length,
        async *chunks() {
          yield located.octets;
        },
      };
    case 'range':
      return { size: located.length, chunks: () => readRange(reader, located.start, located.length) };
  }
}

async function* readRange(reader: MessageReader, start: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length; ) {
    const piece = await reader.read(start + done, Math.min(length - done, chunkBytes));
    if (piece.length === 0) throw new StorageError('unavailable', `message ends ${length - done} octets early`);
    done += piece.length;
    yield piece;
  }
}
