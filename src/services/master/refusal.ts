// Refusing connections that no process can take, with a text that the client's user or the sending server understands.
import type { ListeningSockets } from '#ipc/listening-socket.js';
import type { ListenerPlan, RefusalProtocol } from './plan.js';

const texts: Readonly<Record<Exclude<RefusalProtocol, undefined>, string>> = {
  imap: '* BYE [UNAVAILABLE] Too many connections, try again later.\r\n',
  pop3: '-ERR [SYS/TEMP] Too many connections, try again later.\r\n',
  smtp: '421 4.3.2 Too many connections, try again later.\r\n',
};

/** Bound on the work of one go; the rest comes with the next look at the listener. */
const maxAtOnce = 1_000;

/**
 * Accepts what waits on the listeners, refuses it and closes it. Nothing can be said before a TLS handshake or to one of our own processes.
 * @returns how many were refused
 */
export function refusePending(
  sockets: ListeningSockets,
  listeners: readonly { readonly plan: ListenerPlan; readonly fd: number }[],
  protocol: RefusalProtocol,
): number {
  let refused = 0;
  for (const { plan, fd } of listeners) {
    const text = protocol === undefined || plan.isTls ? '' : texts[protocol];
    for (let taken = 0; taken < maxAtOnce; taken += 1) {
      const client = sockets.accept(fd);
      if (client === undefined) break;
      sockets.sendAndClose(client, text);
      refused += 1;
    }
  }
  return refused;
}
