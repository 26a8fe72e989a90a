// Authentications that succeeded for a login process and wait for a mail process to claim them. Kept apart from the login connection: a login
// process that served its last client may be gone before the mail process asks.

/** The hand-off may wait 10 s for a free process; nobody comes after this. */
const keptMs = 90_000;
const maxKept = 50_000;

export interface FinishedRequest {
  readonly user: string;
  /** userdb fields, uid and gid as numbers. */
  readonly fields: ReadonlyMap<string, string>;
}

interface Kept {
  readonly request: FinishedRequest;
  readonly loginPid: number;
  readonly untilMs: number;
}

export class FinishedRequests {
  readonly #nowMs: () => number;
  readonly #kept = new Map<string, Kept>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** @param cookie secret of the login connection; only its holder can name the request */
  add(key: { readonly cookie: string; readonly loginPid: number; readonly authId: number }, request: FinishedRequest): void {
    this.#dropOld();
    this.#kept.set(`${key.cookie}:${key.authId}`, { request, loginPid: key.loginPid, untilMs: this.#nowMs() + keptMs });
  }

  /** Hands a request out once. */
  claim(key: { readonly cookie: string; readonly loginPid: number; readonly authId: number }): FinishedRequest | undefined {
    const name = `${key.cookie}:${key.authId}`;
    const kept = this.#kept.get(name);
    if (!kept || kept.loginPid !== key.loginPid || kept.untilMs < this.#nowMs()) return undefined;
    this.#kept.delete(name);
    return kept.request;
  }

  /** Requests that can still be claimed. */
  get size(): number {
    this.#dropOld();
    return this.#kept.size;
  }

  #dropOld(): void {
    const nowMs = this.#nowMs();
    // In order of insertion, so the first young one ends the search.
    for (const [name, { untilMs }] of this.#kept) {
      if (untilMs >= nowMs && this.#kept.size <= maxKept) return;
      this.#kept.delete(name);
    }
  }
}
