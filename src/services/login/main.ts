// The login roles: everything before authentication, for IMAP and POP3, and the hand-off after it.
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connectAuth } from '#auth/auth-connection.js';
import type { HandoffRequest } from '#ipc/peer.js';
import { type LoginResult, PreAuthClocks, type PreAuthOptions } from '#pre-auth/options.js';
import { RememberedLogins } from '#pre-auth/remembered-logins.js';
import { loginSettings } from '#pre-auth/settings.js';
import { startPreAuth } from '#pre-auth/start.js';
import { refusalText, refuseOverUserLimit } from '#pre-auth/user-limit.js';
import type { AcceptedConnection, Rehearsal, Role, ServiceContext } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';

const practisedLogins = 200;

/** What most clients do before login. TLS is left out: it needs a certificate. */
const rehearsals: Readonly<Record<'imap' | 'pop3', Rehearsal>> = {
  imap: {
    from: 'listener',
    service: 'imap',
    greeting: /^\* OK/,
    lines: [
      { send: 'a CAPABILITY', until: /^a OK/m },
      { send: 'b ID ("name" "rehearsal")', until: /^b OK/m },
      { send: 'c LOGIN rehearsal rehearsal', until: /^c OK/m },
    ],
    practice: {
      sessions: practisedLogins,
      session: (index) => [
        ...(index % 4 === 0
          ? [
              { send: 'a CAPABILITY', until: /^a OK/m },
              { send: 'b ID ("name" "rehearsal")', until: /^b OK/m },
            ]
          : []),
        index % 3 === 0
          ? { send: `c AUTHENTICATE PLAIN ${Buffer.from('\0rehearsal\0rehearsal').toString('base64')}`, until: /^c OK/m }
          : { send: 'c LOGIN rehearsal rehearsal', until: /^c OK/m },
      ],
    },
  },
  pop3: {
    from: 'listener',
    service: 'pop3',
    greeting: /^\+OK/,
    lines: [
      { send: 'CAPA', until: /^\.\r$/m },
      { send: 'USER rehearsal', until: /^\+OK/ },
      { send: 'PASS rehearsal', until: /^\+OK/m },
    ],
    practice: {
      sessions: practisedLogins,
      session: () => [
        { send: 'CAPA', until: /^\.\r$/m },
        { send: 'USER rehearsal', until: /^\+OK/ },
        { send: 'PASS rehearsal', until: /^\+OK/m },
      ],
    },
  },
};

export const imapLoginRole: Role = loginRole('imap');
export const pop3LoginRole: Role = loginRole('pop3');

function loginRole(protocol: 'imap' | 'pop3'): Role {
  return {
    name: `${protocol}-login`,
    settings: [loginSettings, tlsSettings],
    rehearsal: rehearsals[protocol],
    start(context) {
      const path = join(context.baseDir, 'login', 'login');
      const logins = new RememberedLogins(Date.now);
      const authClient = logins.wrap(connectAuth({ path, log: context.log, takesClaims: true, repeats: true }));
      const onLogin =
        (connection: AcceptedConnection): PreAuthOptions['onLogin'] =>
        (stream, buffered, request, login) => {
          logins.keepSealed(login);
          return handOver(context, connection, stream, buffered, request);
        };
      const clocks = new PreAuthClocks();
      context.onConnection(
        (connection) => {
          return startPreAuth({
            protocol,
            connection,
            context,
            authClient,
            clocks,
            movesTls: true,
            onLogin: onLogin(connection),
          });
        },
        { refusal: (_listener, reason) => refusalText(protocol, reason) },
      );
      if (protocol === 'imap') {
        context.onReturn((connection, stream) => {
          return startPreAuth({
            protocol,
            connection,
            returned: { stream, peer: connection.peer },
            context,
            authClient,
            clocks,
            movesTls: true,
            onLogin: onLogin(connection),
          });
        });
      }
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
  const limit = await refuseOverUserLimit(context, request);
  if (limit !== undefined) {
    context.count('user-limit-refusals');
    return limit;
  }
  const outcome = await context.handOff(connection, stream, buffered, request);
  if (outcome.kind === 'passed') {
    context.count('logins');
    return { kind: 'taken', mailPid: outcome.pid };
  }
  context.count('no-process-refusals');
  if (outcome.kind === 'full') {
    return {
      kind: 'refused',
      refusal: 'full',
      clientText: 'Server is busy, all processes are in use. Try again later.',
      logText: `Disconnected: No free ${request.service} process: ${outcome.reason}`,
    };
  }
  const text = `Internal login failure (pid=${request.authPid} id=${request.authId}): ${outcome.reason}`;
  const facts = { user: request.user, reason: outcome.reason };
  // A login that takes longer than a process that is stopped may live on is nobody's fault.
  if (context.stopping.aborted) context.log.warning('login.handoff-failed', text, facts);
  else context.log.error('login.handoff-failed', text, facts);
  return {
    kind: 'refused',
    refusal: 'internal',
    clientText: 'Internal login failure. Refer to server log for more information.',
    logText: 'Disconnected: Internal login failure',
  };
}
