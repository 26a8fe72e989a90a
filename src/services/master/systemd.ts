// The service manager's two habits: it wants to be told the state (sd_notify(3)), and may have opened our sockets before us (sd_listen_fds(3)).
import { isIPv6 } from 'node:net';
import type { ListeningSockets } from '#ipc/listening-socket.js';
import type { ListenerPlan } from './plan.js';

const firstSocketFd = 3;

export interface ServiceManager {
  readonly notify: (state: 'READY=1' | 'RELOADING=1' | 'STOPPING=1') => void;
  /** Sockets it opened that fit our listeners, by the listeners' keys. */
  readonly findSockets: (plans: readonly ListenerPlan[]) => ReadonlyMap<string, { readonly plan: ListenerPlan; readonly fd: number }>;
}

/** Without a service manager nothing happens. */
export function serviceManager(environment: Readonly<Record<string, string | undefined>>, sockets: ListeningSockets): ServiceManager {
  const path = environment['NOTIFY_SOCKET'];
  const given = environment['LISTEN_PID'] === String(process.pid) ? Number(environment['LISTEN_FDS'] ?? 0) : 0;
  return {
    notify: (state) => {
      if (path === undefined || path === '') return;
      // Type=notify-reload wants the time of the reload with it.
      const text = state === 'RELOADING=1' ? `${state}\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}` : state;
      sockets.sendDatagram(path, text);
    },
    findSockets: (plans) => {
      const found = new Map<string, { readonly plan: ListenerPlan; readonly fd: number }>();
      for (let fd = firstSocketFd; fd < firstSocketFd + given; fd += 1) {
        const address = localAddress(fd, sockets);
        const plan = plans.find((candidate) => matches(candidate, address) && !found.has(candidate.key));
        if (plan !== undefined) found.set(plan.key, { plan, fd });
      }
      return found;
    },
  };
}

type LocalAddress =
  | { readonly kind: 'inet'; readonly isV6: boolean; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

function matches(plan: ListenerPlan, address: LocalAddress): boolean {
  if (address.kind === 'unix') return plan.kind === 'unix' && plan.address === address.path;
  return plan.kind === 'inet' && plan.port === address.port && isIPv6(plan.address) === address.isV6;
}

function localAddress(fd: number, sockets: ListeningSockets): LocalAddress {
  const address = sockets.addressOf(fd);
  if (address.family !== 'unix') return { kind: 'inet', isV6: address.family === 'inet6', port: address.port };
  return { kind: 'unix', path: address.path };
}
