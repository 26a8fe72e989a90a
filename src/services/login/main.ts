// The login roles: everything before authentication, for IMAP and POP3, and the hand-off after it.
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connectAuth } from '#auth/auth-connection.js';
import type { HandoffRequest } from '#ipc/peer.js';
import { loginSettings } from '#pre-auth/settings.js';
import { type LoginResult, startPreAuth } from '#pre-auth/start.js';
import type { AcceptedConnection, Role, ServiceContext } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';

export const imapLoginRole: Role = loginRole('imap');
export const pop3LoginRole: Role = loginRole('pop3');

function loginRole(protocol: 'imap' | 'pop3'): Role {
  return {
    name: `${protocol}-login`,
    settings: [loginSettings, tlsSettings],
    start(context) {
      const authClient = connectAuth({ path: join(context.baseDir, 'login', 'login'), log: context.log });
      // With one client at a time the title names it; otherwise the kit counts.
      const isSingle = context.clientLimit === 1 || context.serviceCount === 1;
      context.onConnection(
        (connection) => {
          if (isSingle) context.setTitle(`${connection.peer.remoteIp} pre-login`);
          return startPreAuth({
            protocol,
            connection,
            context,
            authClient,
            async onLogin(stream, buffered, request) {
              const result = await handOver(context, connection, stream, buffered, request);
              if (isSingle && result.kind === 'taken') context.setTitle(`${request.peer.remoteIp} TLS proxy`);
              return result;
            },
          });
        },
        { refusal: (_listener, reason) => (protocol === 'imap' ? `* BYE [UNAVAILABLE] ${reason}\r\n` : `-ERR [SYS/TEMP] ${reason}\r\n`) },
      );
      return Promise.resolve(async () => authClient.close());
    },
  };
}

async function handOver(
  context: ServiceContext,
  connection: AcceptedConnection,
  stream: Duplex,
  buffered: Buffer,
  request: HandoffRequest,
): Promise<LoginResult> {
  const limit = await userLimit(context, request);
  if (limit !== undefined) return limit;
  const outcome = await context.handOff(connection, stream, buffered, request);
  if (outcome.kind === 'passed') return { kind: 'taken', mailPid: outcome.pid };
  if (outcome.kind === 'full') {
    return {
      kind: 'refused',
      refusal: 'full',
      clientText: 'Server is busy, all processes are in use. Try again later.',
      logText: `Disconnected: No free ${request.service} process: ${outcome.reason}`,
    };
  }
  context.log.error('login.handoff-failed', `Internal login failure (pid=${request.authPid} id=${request.authId}): ${outcome.reason}`, {
    user: request.user,
    reason: outcome.reason,
  });
  return {
    kind: 'refused',
    refusal: 'internal',
    clientText: 'Internal login failure. Refer to server log for more information.',
    logText: 'Disconnected: Internal login failure',
  };
}

/** mail_max_userip_connections: sessions of this user from this address. The count includes only sessions that have started, so that parallel logins can overshoot a little. */
async function userLimit(context: ServiceContext, request: HandoffRequest): Promise<LoginResult | undefined> {
  const { user, peer, service } = request;
  const facts = { localIp: peer.localIp, remoteIp: peer.remoteIp };
  const limit = context.settings.forConnection(facts).get(loginSettings).mail_max_userip_connections;
  if (limit === 0 || !Number.isFinite(limit) || peer.remoteIp === '') return undefined;
  const count = await context.anvil.lookup(user, peer.remoteIp, service);
  if (count < limit) return undefined;
  const text = `Maximum number of connections from user+IP exceeded (mail_max_userip_connections=${limit})`;
  return {
    kind: 'refused',
    refusal: 'user-limit',
    clientText: text,
    logText: text,
  };
}
