// Where the master has sent users lately: whoever logs in again goes there as well, without a question to the master, which on a busy server costs as much
// as a tenth of a login. The master counts a user as served by that process until the last lease has ended, so that all of a user's sessions stay together.
// A lease is no reservation: a process that is full, draining or gone says so, or is found gone, and then the master is asked as ever.
import type { RoutedMessage } from '#ipc/control.js';
import type { HandoffRequest } from '#ipc/peer.js';

export type Route = Extract<RoutedMessage, { readonly outcome: 'ok' }>;

const maxLeases = 1_000;

interface RouteLease {
  readonly route: Route;
  readonly untilMs: number;
}

/** Times are of a clock that nobody sets. */
export class RouteLeases {
  readonly #leases = new Map<string, RouteLease>();

  find(request: HandoffRequest, nowMs: number): Route | undefined {
    const name = nameOf(request);
    const found = this.#leases.get(name);
    if (found === undefined) return undefined;
    if (found.untilMs > nowMs) return found.route;
    this.#leases.delete(name);
    return undefined;
  }

  /** @param askedAtMs before the master's clock started */
  keep(request: HandoffRequest, route: Route, askedAtMs: number): void {
    if (route.leaseMs === undefined) return;
    const name = nameOf(request);
    this.#leases.delete(name);
    this.#leases.set(name, { route, untilMs: askedAtMs + route.leaseMs });
    if (this.#leases.size > maxLeases) for (const oldest of this.#leases.keys()) if (this.#leases.delete(oldest)) break;
  }

  /** The process took nobody; later answers stay. */
  forget(request: HandoffRequest, route: Route): void {
    const name = nameOf(request);
    if (this.#leases.get(name)?.route === route) this.#leases.delete(name);
  }
}

/** All that the master decides by; user names hold no line ends. */
function nameOf({ service, user, fields }: HandoffRequest): string {
  return `${service}\n${fields['roost_uid'] ?? ''}\n${fields['roost_gid'] ?? ''}\n${user}`;
}
