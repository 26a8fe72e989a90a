// Sessions on their way to the imap-hibernate process and back: sealed here, and believed only with the seal of an imap process that runs as the
// same user (docs/ipc.md, "Hibernation").
import type { UserFields } from '#auth/client.js';
import { type HoldOrder, hibernatedFields, maxSessionTextLength, parseHibernatedFields } from '#ipc/hibernation.js';
import type { HandoffRequest } from '#ipc/peer.js';
import type { HandedConnection, PassWait, ServiceContext } from '#service-kit/role.js';
import type { SessionState } from './session-state.js';

export interface MovedSession {
  /** As auth gave it at the login. */
  readonly user: UserFields;
  readonly state: SessionState;
}

/** @returns false when no imap-hibernate process took it */
export async function passToHibernation(
  context: ServiceContext,
  connection: HandedConnection,
  session: MovedSession,
  hold: HoldOrder,
  wait: PassWait,
): Promise<boolean> {
  const text = JSON.stringify(session);
  if (text.length > maxSessionTextLength) return false;
  const fields = hibernatedFields({ session: text, seal: context.seal(sealedText(connection.request, text)), hold });
  const outcome = await context.passOn(connection, { ...connection.request, service: 'imap-hibernate', fields }, wait);
  const { user, sessionId } = connection.request;
  if (outcome.kind === 'passed') {
    context.log
      .child({ user, sessionId }, `imap(${user})<${process.pid}><${sessionId}>: `)
      .debug('session.hibernated', `Passed to imap-hibernate process ${outcome.pid}`);
    return true;
  }
  context.log.debug('imap.hibernate', `An idling session stays: ${outcome.reason}`, { user });
  return false;
}

/**
 * Undefined for a connection that comes from a login process.
 * @throws Error when the seal is not right: somebody else wrote this
 */
export function readMovedSession(context: ServiceContext, request: HandoffRequest): MovedSession | undefined {
  const fields = parseHibernatedFields(request);
  if (fields === undefined) return undefined;
  if (!context.isSealed(sealedText(request, fields.session), fields.seal)) throw new Error('a session came with a wrong seal');
  const session: MovedSession = JSON.parse(fields.session);
  return session;
}

/** The user and the session id are in the request too, where logs and limits find them: they must be those of the session. */
function sealedText({ user, sessionId }: HandoffRequest, session: string): string {
  return JSON.stringify([user, sessionId, session]);
}
