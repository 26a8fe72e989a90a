// An IMAP server in memory with as many clients as a test wants.
import type { SettingDefinition } from '#config/define.js';
import { type Logger, silentLogger } from '#log/logger.js';
import { ImapConnection } from '#services/imap/connection.js';
import { type ImapSettings, imapSettings } from '#services/imap/settings.js';
import type { MailUser, SpecialUse } from '#storage/user.js';
import { LineClient } from './line-client.js';
import { createMemoryAccount } from './memory-user.js';
import { streamPair } from './stream-pair.js';

/** Default values of the settings, in the form that resolution gives them. */
export function defaultImapSettings(changes: Partial<ImapSettings> = {}): ImapSettings {
  const values: Record<string, unknown> = {};
  for (const [key, definition] of Object.entries(imapSettings.settings) as [string, SettingDefinition][]) {
    const text = definition.defaultText;
    if (definition.type === 'boolean') values[key] = text === 'yes';
    else if (definition.type === 'list') values[key] = text.split(/\s+/).filter((word) => word !== '');
    else if (definition.type === 'uint') values[key] = Number(text);
    else if (definition.type === 'size') values[key] = text === '64k' ? 65_536 : Number(text);
    else if (definition.type === 'time') values[key] = text === '2 mins' ? 120_000 : Number(text);
    else values[key] = text;
  }
  return { ...(values as unknown as ImapSettings), ...changes };
}

export interface WorldOptions {
  readonly settings?: Partial<ImapSettings>;
  readonly specialUse?: Readonly<Record<string, SpecialUse>>;
  readonly log?: Logger;
  readonly idleTimeoutMs?: number;
  readonly stallTimeoutMs?: number;
  /** The account to serve; memory unless told. */
  readonly openUser?: () => MailUser;
}

export interface ImapWorld extends AsyncDisposable {
  connect(): Connected;
}

export interface Connected {
  readonly client: LineClient;
  readonly connection: ImapConnection;
  /** Resolves when the server is done with this client. */
  readonly done: Promise<void>;
}

export async function createImapWorld(options: WorldOptions = {}): Promise<ImapWorld> {
  const openUser = options.openUser ?? (await createMemoryAccount(options.specialUse));
  const open: Connected[] = [];
  return {
    connect() {
      const [near, far] = streamPair();
      const connection = new ImapConnection({
        stream: far,
        user: openUser(),
        settings: defaultImapSettings(options.settings),
        log: options.log ?? silentLogger,
        ...(options.idleTimeoutMs !== undefined && { idleTimeoutMs: options.idleTimeoutMs }),
        ...(options.stallTimeoutMs !== undefined && { stallTimeoutMs: options.stallTimeoutMs }),
      });
      const connected = { client: new LineClient(near), connection, done: connection.run() };
      open.push(connected);
      return connected;
    },
    async [Symbol.asyncDispose]() {
      for (const { client } of open) client.close();
      await Promise.all(open.map(({ done }) => done));
    },
  };
}
