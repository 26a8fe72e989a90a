// The imap role: sessions after login.
import { join } from 'node:path';
import { createClaimOpener } from '#auth/claim-token.js';
import type { UserFields } from '#auth/client.js';
import { findUserBy } from '#auth/find-user.js';
import { connectAuthMaster } from '#auth/master-connection.js';
import { type GoBack, serveDirectly } from '#pre-auth/direct.js';
import { loginSettings } from '#pre-auth/settings.js';
import type { ClientHandle, HandedConnection, Role } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';
import { createMailStore, mailStoreSections, mailStoreSettings } from '#storage/mail-store.js';
import { UserPool } from '#storage/user-pool.js';
import { FoldedSessions } from './folded-sessions.js';
import { HandedSession } from './handed-session.js';
import { imapRehearsal } from './rehearsal.js';
import type { SessionParts } from './served-session.js';
import { imapSettings } from './settings.js';

export const role: Role = {
  name: 'imap',
  settings: [...mailStoreSettings, imapSettings, loginSettings, tlsSettings],
  sections: mailStoreSections,
  rehearsal: imapRehearsal,
  async start(context) {
    const auth = connectAuthMaster({ path: join(context.baseDir, 'auth-master'), log: context.log });
    const store = createMailStore({ settings: context.settings, log: context.log, findUser: findUserBy(auth, 'imap') });
    const claims = createClaimOpener(context.claimKeys);
    const users = new UserPool(store, 'imap');
    // Where each process has one client, there is nothing to be gained.
    const folded = context.clientLimit > 1 ? new FoldedSessions(users, context.log) : undefined;
    const parts: SessionParts = { context, auth, claims, users, folded, never: new AbortController().signal };
    const startSession = (handed: HandedConnection, known?: UserFields, goBack?: GoBack): ClientHandle =>
      new HandedSession(parts, handed, { known, goBack });
    context.onHandoff((handed) => startSession(handed));
    const stopDirect = serveDirectly({ protocol: 'imap', context, claims, startSession });
    return async () => {
      stopDirect();
      folded?.close();
      auth.close();
      await store.close();
    };
  },
};
