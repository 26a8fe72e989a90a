// Logins that succeeded a moment ago, so that a client that opens several connections at once is asked about once. Kept is an HMAC of all that the
// answer depended on, under a key of this process, and what auth said: never the password. Auth says how long it holds, at most as long as it takes itself
// to notice that a password was changed; failures are not remembered. A login process, which may know nothing of the user, keeps a seal of auth's for
// the logins that follow (auth/claim-token.ts), a mail process in direct mode the user.
import { randomBytes } from 'node:crypto';
import type { AuthClient, AuthExchange, AuthRequest, AuthStep, UserFields } from '#auth/client.js';
import { Mac } from '#util/mac.js';

const maxRemembered = 10_000;

export type SuccessStep = Extract<AuthStep, { kind: 'ok' }>;

interface Remembered {
  readonly step: SuccessStep;
  readonly untilMs: number;
}

export class RememberedLogins {
  readonly #nowMs: () => number;
  readonly #mac = new Mac(randomBytes(32));
  readonly #logins = new Map<string, Remembered>();
  /** What a step that auth has just given would be found by. */
  readonly #names = new WeakMap<SuccessStep, string>();
  /** Of steps that are or were remembered: one that was taken just before it was forgotten still has its user. */
  readonly #users = new WeakMap<SuccessStep, UserFields>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The same client, which is not asked for what is remembered. */
  wrap(client: AuthClient): AuthClient {
    return {
      get knownMechanisms() {
        return client.knownMechanisms;
      },
      mechanisms: () => client.mechanisms(),
      begin: (request) => this.#begin(client, request),
      close: () => client.close(),
    };
  }

  /** The user of a step that was not given by auth but remembered. */
  userOf(step: SuccessStep): UserFields | undefined {
    return this.#users.get(step);
  }

  /** Remembers a step that auth has given, if auth allows it. */
  keep(step: SuccessStep, user: UserFields): void {
    const name = this.#names.get(step);
    if (name === undefined || !mayKeep(step) || this.#users.has(step)) return;
    this.#users.set(step, user);
    this.#remember(name, step);
  }

  /** The same for who passes the login on: those that follow get the seal that auth has made for them, and none without. */
  keepSealed(step: SuccessStep): void {
    const name = this.#names.get(step);
    if (name !== undefined && mayKeep(step) && step.claimAgain !== undefined)
      this.#remember(name, Object.assign({}, step, { claim: step.claimAgain }));
  }

  #remember(name: string, step: SuccessStep): void {
    const nowMs = this.#nowMs();
    this.#logins.delete(name);
    this.#logins.set(name, { step, untilMs: nowMs + (step.keepMs ?? 0) });
    // In order of insertion, so the first young one ends the search.
    for (const [old, { untilMs }] of this.#logins) {
      if (untilMs > nowMs && this.#logins.size <= maxRemembered) break;
      this.#logins.delete(old);
    }
  }

  #begin(client: AuthClient, request: AuthRequest): AuthExchange {
    // One step, which holds the whole proof; other mechanisms are made so that nothing of them can be repeated.
    if (request.mechanism !== 'PLAIN' || request.initialResponse === undefined) return client.begin(request);
    const name = this.#nameOf(request, request.initialResponse);
    const known = this.#logins.get(name);
    if (known !== undefined && known.untilMs > this.#nowMs()) return remembered(known.step);
    const exchange = client.begin(request);
    return {
      next: async () => {
        const step = await exchange.next();
        if (step.kind === 'ok') this.#names.set(step, name);
        return step;
      },
      respond: (response) => exchange.respond(response),
      cancel: () => exchange.cancel(),
    };
  }

  /** Of all that a database may look at, except the client's port. */
  #nameOf({ service, peer, mechanism }: AuthRequest, response: Buffer): string {
    const { remoteIp, localIp, localPort, isSecured, isTrusted, tls } = peer;
    const facts = [service, mechanism, remoteIp, localIp, localPort, isSecured, isTrusted, tls ?? ''];
    return this.#mac.of(`${JSON.stringify(facts)}\0${response.toString('latin1')}`);
  }
}

function mayKeep({ keepMs }: SuccessStep): boolean {
  return keepMs !== undefined && keepMs > 0;
}

function remembered(step: SuccessStep): AuthExchange {
  const answer = Promise.resolve(step);
  return { next: () => answer, respond: () => answer, cancel: () => undefined };
}
