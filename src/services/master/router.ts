// Which pool and which identity a logged-in user gets, and whose question is open.
import type { RouteMessage } from '#ipc/control.js';
import type { Logger } from '#log/logger.js';
import { CellMap } from '#util/cell-map.js';
import { identityOf, keyOf } from './identity-key.js';
import type { Identity, ServerPlan } from './plan.js';
import type { Pool, PoolChild, RouteAnswer } from './pool.js';
import type { RouteRequest } from './schedule/decisions.js';

interface OpenRoute {
  readonly asker: PoolChild;
  readonly askerId: number;
  readonly pool: Pool;
}

const maxTickets = 10_000;

export class Router {
  readonly #log: Logger;
  readonly #isRoot: boolean;
  readonly #open = new CellMap<number, OpenRoute>();
  /** Tickets given out lately, so that the asker can give them back. */
  readonly #tickets = new Map<number, { readonly pool: Pool; readonly process: number }>();
  #lastRequest = 0;

  constructor(log: Logger, isRoot: boolean) {
    this.#log = log;
    this.#isRoot = isRoot;
  }

  /** @param pool the current generation's pool of the wanted service */
  route(asker: PoolChild, message: RouteMessage, pool: Pool | undefined, server: ServerPlan): void {
    const fail = (reason: string): void => asker.child.send({ kind: 'routed', id: message.id, outcome: 'failed', reason });
    if (pool === undefined || !pool.plan.takesHandoffs) {
      fail(`service ${message.service} takes no logged-in connections`);
      return;
    }
    // A process that runs as a user passes on sessions of that user only.
    const own = identityOf(asker.key);
    const identity = this.#isRoot && pool.plan.isPerUser ? (own ?? pickIdentity(message, server)) : undefined;
    if (typeof identity === 'string') {
      this.#log.error('route.identity', `service(${pool.name}): user ${message.user}: ${identity}`, { user: message.user });
      fail(identity);
      return;
    }
    this.#lastRequest += 1;
    this.#open.set(this.#lastRequest, { asker, askerId: message.id, pool });
    pool.route({ request: this.#lastRequest, user: message.user, key: keyOf(identity), takesLease: message.takesLease });
  }

  /** The pool has decided. */
  answer(request: number, answer: RouteAnswer): void {
    const open = this.#open.take(request);
    if (open === undefined) return;
    const id = open.askerId;
    if (answer.kind === 'refused') {
      open.asker.child.send({ kind: 'routed', id, outcome: answer.outcome, reason: answer.reason });
      return;
    }
    const { path, descriptorPath, pid, ticket, process, leaseMs } = answer;
    this.#tickets.set(ticket, { pool: open.pool, process });
    // Maps keep insertion order: the oldest goes. By then it has arrived or expired.
    if (this.#tickets.size > maxTickets) for (const oldest of this.#tickets.keys()) if (this.#tickets.delete(oldest)) break;
    open.asker.child.send({ kind: 'routed', id, outcome: 'ok', path, descriptorPath, pid, ticket, leaseMs });
  }

  /** The hand-off for this ticket failed. */
  giveBack(ticket: number): void {
    const given = this.#tickets.get(ticket);
    this.#tickets.delete(ticket);
    given?.pool.routeFailed(given.process, ticket);
  }

  /** A new generation takes over what waited in the old one. */
  move(routes: readonly RouteRequest[], pool: Pool | undefined): void {
    for (const route of routes) {
      const open = this.#open.get(route.request);
      if (open === undefined) continue;
      if (pool === undefined) {
        this.answer(route.request, { kind: 'refused', outcome: 'failed', reason: 'the service has gone' });
        continue;
      }
      this.#open.set(route.request, { ...open, pool });
      pool.route(route);
    }
  }

  /** The asker is gone; the slots kept for it are given back. */
  forget(asker: PoolChild): void {
    for (const [request, open] of this.#open.entries()) {
      if (open.asker !== asker) continue;
      this.#open.take(request);
      open.pool.cancelRoute(request);
    }
  }
}

/**
 * Whom the mail process runs as. What login passes on comes from auth, but login talks to strangers: root, and ids outside the configured
 * bounds, are refused here whoever asks. That the ids belong to this user the mail process checks when it claims the login.
 * @returns the reason of a refusal as text
 */
export function pickIdentity(
  { uid, gid }: { readonly uid: number | undefined; readonly gid: number | undefined },
  { mailIdentity, validIds }: Pick<ServerPlan, 'mailIdentity' | 'validIds'>,
): Identity | string {
  const wantedUid = uid ?? mailIdentity?.uid;
  const wantedGid = gid ?? mailIdentity?.gid;
  if (wantedUid === undefined) return 'userdb did not return a uid, and mail_uid is not set';
  if (wantedGid === undefined) return 'userdb did not return a gid, and mail_gid is not set';
  if (wantedUid === 0) return 'mail access as root is not allowed';
  const { firstUid, lastUid, firstGid, lastGid } = validIds;
  if (wantedUid < firstUid || (lastUid > 0 && wantedUid > lastUid)) {
    return `uid ${wantedUid} is not permitted (first_valid_uid = ${firstUid}, last_valid_uid = ${lastUid})`;
  }
  if (wantedGid < firstGid || (lastGid > 0 && wantedGid > lastGid)) {
    return `gid ${wantedGid} is not permitted (first_valid_gid = ${firstGid}, last_valid_gid = ${lastGid})`;
  }
  return { uid: wantedUid, gid: wantedGid };
}
