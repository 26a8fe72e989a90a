// An IMAP server in memory with as many clients as a test wants.
import type { SettingDefinition } from '#config/define.js';
import { type Logger, silentLogger } from '#log/logger.js';
import { ImapConnection } from '#services/imap/connection.js';
import { type ImapSettings, imapSettings } from '#services/imap/settings.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import type { MailUser } from '#storage/user.js';
import { LineClient } from './line-client.js';
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
  readonly log?: Logger;
  readonly idleTimeoutMs?: number;
  readonly stallTimeoutMs?: number;
  /** Opens the account to serve, once for each client; memory unless told. */
  readonly openUser?: (user?: string) => Promise<MailUser>;
}

export interface ImapWorld extends AsyncDisposable {
  /** @param user another one than usual */
  connect(user?: string): Promise<Connected>;
}

export interface Connected {
  readonly client: LineClient;
  readonly connection: ImapConnection;
  /** Resolves when the server is done with this client. */
  readonly done: Promise<void>;
}

function memoryUser(): () => Promise<MailUser> {
  const open = createMemoryAccount();
  return async () => open();
}

export async function createImapWorld(options: WorldOptions = {}): Promise<ImapWorld> {
  const openUser = options.openUser ?? memoryUser();
  const open: Connected[] = [];
  return {
    async connect(name) {
      const user = await openUser(name);
      const [near, far] = streamPair();
      const connection = new ImapConnection({
        stream: far,
        user,
        settings: defaultImapSettings(options.settings),
        log: options.log ?? silentLogger,
        ...(options.idleTimeoutMs !== undefined && { idleTimeoutMs: options.idleTimeoutMs }),
        ...(options.stallTimeoutMs !== undefined && { stallTimeoutMs: options.stallTimeoutMs }),
      });
      const done = connection.run().finally(() => user[Symbol.asyncDispose]());
      const connected = { client: new LineClient(near), connection, done };
      open.push(connected);
      return connected;
    },
    async [Symbol.asyncDispose]() {
      for (const { client } of open) client.close();
      await Promise.all(open.map(({ done }) => done));
    },
  };
}
