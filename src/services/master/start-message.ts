// What a process is told first: which role it has, where its sockets are, its settings, and the keys it may have.
import { createHmac } from 'node:crypto';
import { type ClaimKeys, claimKeysOf } from '#ipc/claim-keys.js';
import type { InheritedListener, StartMessage } from '#ipc/control.js';
import { firstInheritedFd } from './child-command.js';
import { keyOf } from './identity-key.js';
import type { Identity, ListenerPlan, ServerPlan, ServicePlan, SettingsNeeds } from './plan.js';
import type { OpenPrivateSockets } from './private-sockets.js';

export interface ProcessFacts {
  readonly plan: ServicePlan;
  readonly server: ServerPlan;
  /** From which it accepts: none where it runs as a user of its own, for whom it knows passwords of nobody else. */
  readonly listeners: readonly ListenerPlan[];
  readonly generation: number;
  /** What the keys that sessions are sealed with are made of. */
  readonly sessionSecret: Buffer;
  readonly tlsTicketKeys: string;
  readonly privateSockets: OpenPrivateSockets | undefined;
  /** As which it runs; undefined: as the master does. */
  readonly identity: Identity | undefined;
  /** Whom it runs as, where each user has one. */
  readonly user: Identity | undefined;
  /** Most processes of the service run as this one does. */
  readonly isUsual: boolean;
  readonly becomes: StartMessage['becomes'];
  readonly checksTls: boolean;
}

export function makeStartMessage(facts: ProcessFacts, needs: SettingsNeeds): StartMessage {
  const { plan, server, privateSockets, sessionSecret } = facts;
  const privateFd = firstInheritedFd + facts.listeners.length;
  return {
    kind: 'start',
    service: plan.name,
    role: plan.role,
    generation: facts.generation,
    baseDir: server.baseDir,
    clientLimit: plan.limits.clientLimit,
    serviceCount: plan.limits.serviceCount,
    processLimit: plan.limits.processLimit,
    listeners: facts.listeners.map(inheritedListener),
    privateSockets:
      privateSockets === undefined
        ? undefined
        : {
            fd: privateFd,
            path: privateSockets.path,
            descriptorFd: privateFd + 1,
            descriptorPath: privateSockets.descriptorPath,
          },
    settings: plan.settingsFor(needs, facts.listeners.length > 0),
    serves: plan.serves,
    tlsTicketKeys: facts.tlsTicketKeys,
    becomes: facts.becomes,
    // One that runs as one user of many came for a client, and meets few others.
    practises: server.hasPractice && plan.limits.serviceCount === 0 && facts.isUsual,
    isDebug: server.isDebug,
    title: `${server.instanceName}/${plan.name}`,
    isVerboseTitle: server.isVerboseTitle,
    stopGraceMs: server.stopGraceMs,
    sessionKey: privateSockets === undefined ? undefined : sessionKey(plan, sessionSecret, facts.identity),
    claimKeys: claimKeys(plan, server, sessionSecret, facts.user),
    checksTls: facts.checksTls,
  };
}

function inheritedListener(plan: ListenerPlan, index: number): InheritedListener {
  const { kind, name, isTls, backlog, keepAliveMs, isHaproxy, address, port } = plan;
  return { kind, name, isTls, fd: firstInheritedFd + index, backlog, keepAliveMs, isHaproxy, address, port };
}

/** One for each identity: a process that runs as one user can seal nothing for another. */
function sessionKey(plan: ServicePlan, secret: Buffer, identity: Identity | undefined): string {
  // A login process seals where connections come from, and shall not be able to seal a session.
  const purpose = plan.isLogin ? 'login ' : '';
  return createHmac('sha256', secret)
    .update(`${purpose}${keyOf(identity)}`)
    .digest('base64');
}

function claimKeys(plan: ServicePlan, server: ServerPlan, sessionSecret: Buffer, user: Identity | undefined): ClaimKeys | undefined {
  if (plan.role !== 'auth' && (!plan.takesHandoffs || plan.isLogin)) return undefined;
  const secret = createHmac('sha256', sessionSecret).update('sealed logins').digest();
  return user === undefined ? { secret: secret.toString('base64') } : claimKeysOf(secret, user, server.mailIdentity);
}
