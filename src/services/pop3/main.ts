// The pop3 role: sessions after login.
import { join } from 'node:path';
import { type ClaimOpener, createClaimOpener } from '#auth/claim-token.js';
import type { AuthMasterClient, UserFields } from '#auth/client.js';
import { connectAuthMaster } from '#auth/master-connection.js';
import { userUid } from '#auth/user-uid.js';
import type { SettingsOf } from '#config/define.js';
import type { Logger } from '#log/logger.js';
import { serveDirectly } from '#pre-auth/direct.js';
import { loginSettings } from '#pre-auth/settings.js';
import { userLimit } from '#pre-auth/user-limit.js';
import type { ClientHandle, HandedConnection, Role, ServiceContext } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';
import { StorageError } from '#storage/errors.js';
import { createMailStore, type MailStore, mailStoreSections, mailStoreSettings } from '#storage/mail-store.js';
import { Pop3Connection } from './connection.js';
import { Maildrop } from './maildrop.js';
import { pop3Rehearsal } from './rehearsal.js';
import { Pop3Session } from './session.js';
import { pop3Settings } from './settings.js';

/** From the hand-off until the maildrop is open. */
const loginTimeoutMs = 60_000;

interface Parts {
  readonly context: ServiceContext;
  readonly auth: AuthMasterClient;
  readonly claims: ClaimOpener | undefined;
  readonly store: MailStore;
  readonly settings: SettingsOf<typeof pop3Settings>;
  /** Users with a session open, for pop3_lock_session. */
  readonly locked: Set<string>;
}

export const role: Role = {
  name: 'pop3',
  settings: [...mailStoreSettings, pop3Settings, loginSettings, tlsSettings],
  sections: mailStoreSections,
  rehearsal: pop3Rehearsal,
  async start(context) {
    const auth = connectAuthMaster({ path: join(context.baseDir, 'auth-master'), log: context.log });
    const store = createMailStore({ settings: context.settings, log: context.log });
    const claims = createClaimOpener(context.claimKeys);
    const parts: Parts = { context, auth, claims, store, settings: context.settings.get(pop3Settings), locked: new Set() };
    const start = (handed: HandedConnection, known?: UserFields): ClientHandle => startSession(parts, handed, known);
    context.onHandoff((handed) => start(handed));
    const stopDirect = serveDirectly({ protocol: 'pop3', context, claims, startSession: start });
    return async () => {
      stopDirect();
      auth.close();
      await store.close();
    };
  },
};

/** @param known who has logged in, where nobody needs to be asked */
function startSession(parts: Parts, handed: HandedConnection, known: UserFields | undefined): ClientHandle {
  const { user, sessionId } = handed.request;
  const log = parts.context.log.child({ user, sessionId }, `pop3(${user})<${process.pid}><${sessionId}>: `);
  const connection = new Pop3Connection(handed.stream, log, {
    fixesNul: parts.settings.pop3_client_workarounds.includes('outlook-no-nuls'),
  });
  const handle: ClientHandle = {
    isPreAuth: false,
    startedAtMs: Date.now(),
    title: `${user} ${handed.request.peer.remoteIp}`,
    stop: (reason) => connection.stop(reason === 'kicked' ? 'Disconnected by administrator' : 'Server shutting down'),
  };
  const { anvil, settings } = parts.context;
  const { peer } = handed.request;
  const disconnected = anvil.connect(
    { user, remoteIp: peer.remoteIp, service: 'pop3', sessionId },
    () => handle.stop('kicked'),
    userLimit(settings, peer) === undefined,
  );
  void run({ parts, handed, connection, log, known }).finally(() => {
    disconnected();
    connection.close();
    handed.release();
  });
  return handle;
}

interface Start {
  readonly parts: Parts;
  readonly handed: HandedConnection;
  readonly connection: Pop3Connection;
  readonly log: Logger;
  readonly known: UserFields | undefined;
}

async function run({ parts, handed, connection, log, known }: Start): Promise<void> {
  const never = new AbortController().signal;
  const { request } = handed;
  let isLocked = false;
  try {
    const sealed = known ?? parts.claims?.openHandoff(request);
    const claimed =
      sealed === undefined
        ? await parts.auth.claim(request, AbortSignal.timeout(loginTimeoutMs))
        : ({ kind: 'found', user: sealed } as const);
    const isOwn = claimed.kind !== 'found' || parts.context.mayServe(userUid(claimed.user));
    if (claimed.kind !== 'found' || !isOwn) {
      const reason = isOwn ? 'the authentication is not known to auth' : 'the uid of userdb is not the one that this process runs as';
      log.error('session.claim-failed', `Login refused: ${claimed.kind === 'temp_fail' ? claimed.reason : reason}`);
      connection.send('-ERR [SYS/TEMP] Internal login failure. Refer to server log for more information.\r\n');
      return await connection.flush();
    }
    if (parts.settings.pop3_lock_session) {
      if (parts.locked.has(request.user)) {
        connection.send('-ERR [IN-USE] Mailbox is locked by another POP3 session.\r\n');
        return await connection.flush();
      }
      isLocked = true;
      parts.locked.add(request.user);
    }
    await using user = await parts.store.openUser(claimed.user, 'pop3', AbortSignal.timeout(loginTimeoutMs));
    const mailbox = await user.openMailbox('INBOX', never);
    await using view = await mailbox.openView({ readOnly: false }, never);
    const { settings } = parts;
    const maildrop = await Maildrop.open(
      view,
      {
        uidlFormat: settings.pop3_uidl_format,
        renamesDuplicates: settings.pop3_uidl_duplicates === 'rename',
        deletedFlag: settings.pop3_deleted_flag,
      },
      never,
    );
    const session = new Pop3Session(maildrop, {
      setsSeen: !settings.pop3_no_flag_updates,
      offersLast: settings.pop3_enable_last,
      expunges: settings.pop3_delete_type === 'expunge' || (settings.pop3_delete_type === 'default' && settings.pop3_deleted_flag === ''),
    });
    if (parts.context.anvil.counting !== undefined) await parts.context.anvil.counting;
    connection.send('+OK Logged in.\r\n');
    let reason = 'Connection closed';
    try {
      const end = await connection.serve(session, never);
      reason = end.reason;
      if (!end.isClean) await session.abandon(never);
    } finally {
      const { counters } = session;
      const summary = logoutText(settings.pop3_logout_format, {
        t: counters.topCount,
        p: counters.topBytes,
        r: counters.retrCount,
        b: counters.retrBytes,
        d: counters.deletedCount,
        m: maildrop.count,
        s: maildrop.totalBytes,
        i: connection.bytesIn,
        o: connection.bytesOut,
      });
      log.info('session.logout', `Disconnected: ${reason} ${summary}`, {
        reason,
        ...counters,
        messages: maildrop.count,
        bytesIn: connection.bytesIn,
        bytesOut: connection.bytesOut,
      });
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (text === 'Connection closed') return;
    log.error('session.failed', `Session failed: ${text}`, { error });
    connection.send(
      `-ERR [SYS/TEMP] ${error instanceof StorageError ? (error.clientText ?? 'Mailbox is not available') : 'Internal error'}\r\n`,
    );
    await connection.flush().catch(() => undefined);
  } finally {
    if (isLocked) parts.locked.delete(request.user);
  }
}

function logoutText(format: string, values: Readonly<Record<string, number>>): string {
  return format.replace(/%([a-z])/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}
