// Who is connected. Counted per ident, `service/ip/user`, which is what mail_max_userip_connections limits.
import { CellMap } from '#util/cell-map.js';

export interface Session {
  readonly ident: string;
  readonly pid: number;
  /** '' from clients that do not tell it; such sessions can be counted but not ended. */
  readonly sessionId: string;
  /** ms since the epoch */
  readonly sinceMs: number;
}

export interface SessionFacts extends Session {
  readonly service: string;
  readonly remoteIp: string;
  readonly user: string;
}

/** Which sessions to end; an absent condition holds for all. */
export interface KickFilter {
  /** `*` and `?` as in file names. */
  readonly userMask: string | undefined;
  readonly includesIp: ((ip: string) => boolean) | undefined;
  readonly sessionIds: ReadonlySet<string> | undefined;
}

/** User names may hold slashes, services and addresses do not. */
export function splitIdent(ident: string): { readonly service: string; readonly remoteIp: string; readonly user: string } {
  const first = ident.indexOf('/');
  const second = ident.indexOf('/', first + 1);
  if (first < 0 || second < 0) return { service: '', remoteIp: '', user: ident };
  return { service: ident.slice(0, first), remoteIp: ident.slice(first + 1, second), user: ident.slice(second + 1) };
}

/** Sessions without an id are never meant: nobody could be told which one to end. */
export function matcherOf({ userMask, includesIp, sessionIds }: KickFilter): (session: Pick<Session, 'ident' | 'sessionId'>) => boolean {
  const pattern = userMask === undefined ? undefined : maskPattern(userMask);
  return ({ ident, sessionId }) => {
    if (sessionId === '' || sessionIds?.has(sessionId) === false) return false;
    const { user, remoteIp } = splitIdent(ident);
    return pattern?.test(user) !== false && includesIp?.(remoteIp) !== false;
  };
}

/** Equal ones together: only sessions without an id can be. */
type Owned = CellMap<string, Session[]>;

/** The pid has no tab in it, so the parts cannot be taken for others. */
function keyOf({ sessionId, pid, ident }: Pick<Session, 'ident' | 'pid' | 'sessionId'>): string {
  return `${sessionId}\t${pid}\t${ident}`;
}

function all(owned: Owned): Session[] {
  return owned.entries().flatMap(([, sessions]) => sessions);
}

/** `Owner` is the connection that announced the session: it goes with it. */
export class Sessions<Owner extends object> {
  readonly #byOwner = new Map<Owner, Owned>();
  readonly #counts = new Map<string, number>();

  /** A session that this owner has announced before is counted once. */
  connect(owner: Owner, session: Session): void {
    const owned: Owned = this.#byOwner.get(owner) ?? new CellMap();
    this.#byOwner.set(owner, owned);
    const key = keyOf(session);
    const same = owned.get(key);
    if (same === undefined) owned.set(key, [session]);
    else if (session.sessionId !== '') return;
    else same.push(session);
    this.#counts.set(session.ident, this.count(session.ident) + 1);
  }

  disconnect(owner: Owner, session: Pick<Session, 'ident' | 'pid' | 'sessionId'>): void {
    const owned = this.#byOwner.get(owner);
    const found = owned?.get(keyOf(session))?.[0];
    if (owned !== undefined && found !== undefined) this.#remove(owner, owned, found);
  }

  /** The connection is gone, and its process with it. */
  forget(owner: Owner): void {
    const owned = this.#byOwner.get(owner);
    if (owned !== undefined) for (const session of all(owned)) this.#remove(owner, owned, session);
  }

  /** The process died, whoever announced its sessions. */
  kill(pid: number): void {
    for (const [owner, owned] of [...this.#byOwner]) {
      for (const session of all(owned)) if (session.pid === pid) this.#remove(owner, owned, session);
    }
  }

  count(ident: string): number {
    return this.#counts.get(ident) ?? 0;
  }

  /** Ordered by ident, then by age. */
  list(): SessionFacts[] {
    const sessions = [...this.#byOwner.values()].flatMap(all);
    sessions.sort((a, b) => compare(a.ident, b.ident) || a.sinceMs - b.sinceMs);
    return sessions.map((session) => ({ ...session, ...splitIdent(session.ident) }));
  }

  /** Sessions to end, per connection that has to be told. */
  match(filter: KickFilter): Map<Owner, Session[]> {
    const isMeant = matcherOf(filter);
    const matches = new Map<Owner, Session[]>();
    for (const [owner, owned] of this.#byOwner) {
      const meant = all(owned).filter(isMeant);
      if (meant.length > 0) matches.set(owner, meant);
    }
    return matches;
  }

  #remove(owner: Owner, owned: Owned, session: Session): void {
    const key = keyOf(session);
    const same = owned.get(key) ?? [];
    if (same.length > 1) same.splice(same.indexOf(session), 1);
    else owned.take(key);
    if (owned.size === 0) this.#byOwner.delete(owner);
    const rest = this.count(session.ident) - 1;
    if (rest > 0) this.#counts.set(session.ident, rest);
    else this.#counts.delete(session.ident);
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function maskPattern(mask: string): RegExp {
  const body = mask
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${body}$`, 's');
}
