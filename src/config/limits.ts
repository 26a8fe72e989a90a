// What the limits of the services add up to, and what in them makes no sense. Pure arithmetic: used by the start-up checks and by
// `roost --explain-limits`.
import { readFileSync } from 'node:fs';
import type { ServiceSettings } from './service-settings.js';

export interface LimitReport {
  readonly service: string;
  readonly maxProcesses: number;
  /** Clients at the same time, over all processes. */
  readonly maxConnections: number;
  readonly clientsPerProcess: number;
  /** Octets over all processes; Infinity without vsz_limit. */
  readonly memoryBound: number;
  /** Files one process may have open at once when it is full. */
  readonly filesPerProcess: number;
  /** How connections are kept apart, in words. */
  readonly isolation: string;
  /** What does not fit together in this service. */
  readonly remarks: readonly string[];
}

/** Files a process has open without any client: runtime, channels, logs, listeners. */
const ownFiles = 40;
/** What an idle process takes before it has clients, octets. */
const idleProcessBytes = 48 * 1024 * 1024;

/** Soft limit of open files of this process; children inherit it. Undefined where the system does not tell. */
export function openFileLimit(): number | undefined {
  try {
    const [, limit] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return limit === undefined ? undefined : limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return undefined;
  }
}

/** Mail services that accept clients themselves. */
function isDirect({ role, inetListeners }: ServiceSettings): boolean {
  return (role === 'imap' || role === 'pop3') && inetListeners.length > 0;
}

function isolationText(service: ServiceSettings): string {
  const sharing = sharingText(service);
  return isDirect(service)
    ? `${sharing}; direct mode: what strangers send before log-in is read by processes that may read all mail of their user`
    : sharing;
}

function sharingText({ clientLimit, serviceCount }: ServiceSettings): string {
  if (clientLimit === 1 && serviceCount === 1) return 'every connection has a process of its own, which ends with it';
  if (clientLimit === 1) {
    const reuse = serviceCount === Number.POSITIVE_INFINITY ? 'any number of' : `${serviceCount}`;
    return `one connection at a time in a process, ${reuse} one after the other`;
  }
  const end = serviceCount === Number.POSITIVE_INFINITY ? '' : `; a process ends after ${serviceCount}`;
  return `up to ${clientLimit} connections share a process and its memory${end}`;
}

function remarksOn(service: ServiceSettings): string[] {
  const { clientLimit, writtenClientLimit, serviceCount, processLimit, processMinAvail, vszLimit, written } = service;
  const remarks: string[] = [];
  if (writtenClientLimit > serviceCount && written.has('client_limit') && written.has('service_count')) {
    remarks.push(
      `service_count = ${serviceCount} caps client_limit = ${writtenClientLimit} at ${serviceCount}: service_count is the number of clients in a ` +
        "process's whole life, client_limit how many of them at a time; service_count = 0 is no end",
    );
  }
  if (serviceCount > 1 && serviceCount !== Number.POSITIVE_INFINITY && clientLimit > 1 && serviceCount < clientLimit * 10) {
    remarks.push(
      `service_count = ${serviceCount} with client_limit = ${clientLimit}: a process that has had its ${serviceCount} clients waits for the last of them ` +
        'before it ends; ten times client_limit or more keeps processes useful',
    );
  }
  if (service.protocol !== '' && serviceCount === 1 && processMinAvail === 0) {
    remarks.push('service_count = 1 without process_min_avail: every connection waits for a process to start, some 50 ms');
  }
  if (service.type === 'login' && serviceCount === Number.POSITIVE_INFINITY && processMinAvail === 0) {
    remarks.push('process_min_avail = 0: the first connection waits for a process to start');
  }
  if (processLimit === 1 && serviceCount === 1)
    remarks.push('one process for one connection: a second client waits until the first has gone');
  if (vszLimit < 64 * 1024 * 1024) remarks.push('vsz_limit below 64 M: a process without clients already takes about 48 MB');
  else if (vszLimit !== Number.POSITIVE_INFINITY && clientLimit > 1 && (vszLimit - idleProcessBytes) / clientLimit < 16 * 1024) {
    const perClient = Math.floor((vszLimit - idleProcessBytes) / clientLimit / 1024);
    remarks.push(`vsz_limit leaves ${perClient} KB for each of ${clientLimit} clients; raise it or lower client_limit`);
  }
  return remarks;
}

/** One report for each enabled service. */
export function reportLimits(services: readonly ServiceSettings[], fileLimit = openFileLimit()): readonly LimitReport[] {
  return services
    .filter(({ isEnabled }) => isEnabled)
    .map((service) => {
      // A login process that relays a connection (TLS older than 1.3) holds two sockets for it, once much goes through it.
      const filesPerProcess = ownFiles + service.clientLimit * (service.type === 'login' ? 2 : 1);
      const remarks = remarksOn(service);
      if (fileLimit !== undefined && filesPerProcess > fileLimit) {
        remarks.push(`a full process needs ${filesPerProcess} open files, the limit (ulimit -n) is ${fileLimit}`);
      }
      return {
        service: service.name,
        maxProcesses: service.processLimit,
        maxConnections: service.processLimit * service.clientLimit,
        clientsPerProcess: service.clientLimit,
        memoryBound: service.processLimit * service.vszLimit,
        filesPerProcess,
        isolation: isolationText(service),
        remarks,
      };
    });
}

export interface LoadWarning {
  readonly service: ServiceSettings;
  /** Setting at fault. */
  readonly key: string;
  readonly message: string;
  readonly suggestion: string;
}

/** Services whose processes all need room in another service, and where there may be too little. */
export function loadWarnings(services: readonly ServiceSettings[], fileLimit = openFileLimit()): readonly LoadWarning[] {
  const enabled = services.filter(({ isEnabled }) => isEnabled);
  const warnings: LoadWarning[] = [];
  const count = (parts: readonly ServiceSettings[]) => parts.reduce((sum, { processLimit }) => sum + processLimit, 0);
  const list = (parts: readonly ServiceSettings[]) =>
    parts.map(({ name, processLimit }) => `service ${name} { process_limit=${processLimit} }`).join(' + ');
  const compare = (name: string, required: number, text: string): void => {
    const service = enabled.find((candidate) => candidate.name === name);
    if (service === undefined || service.clientLimit >= required) return;
    const message = `service ${name} { client_limit=${service.clientLimit} } is lower than required under max. load (${required}). ${text}`;
    warnings.push({ service, key: 'client_limit', message, suggestion: `set client_limit = ${required} in service ${name}` });
  };
  const askers = enabled.filter(
    ({ protocol, serviceCount, type, name }) => protocol !== '' && (serviceCount !== 1 || type === 'login') && name !== 'imap-hibernate',
  );
  compare('auth', count(askers), `Counted for protocol services with service_count != 1: ${list(askers)}`);
  const counted = enabled.filter(({ type, name }) => type === 'login' || name === 'auth');
  compare('anvil', 2 + count(counted), `Counted with: ${list(counted)}`);
  const [largest] = [...enabled].sort((a, b) => b.clientLimit - a.clientLimit);
  if (fileLimit !== undefined && largest !== undefined && fileLimit < largest.clientLimit) {
    const cause = largest.hasOwnClientLimit ? `service ${largest.name} { client_limit }` : 'default_client_limit';
    warnings.push({
      service: largest,
      key: 'client_limit',
      message: `fd limit (ulimit -n) is lower than required under max. load (${fileLimit} < ${largest.clientLimit}), because of ${cause}`,
      suggestion: `raise it (systemd: LimitNOFILE=${largest.clientLimit * 2 + ownFiles}) or lower client_limit`,
    });
  }
  return warnings;
}

/** More can log in than can be served. */
export function capacityRemarks(services: readonly ServiceSettings[]): readonly string[] {
  const room = (name: string): number | undefined => {
    const service = services.find((candidate) => candidate.name === name && candidate.isEnabled);
    return service === undefined ? undefined : service.processLimit * service.clientLimit;
  };
  return ['imap', 'pop3'].flatMap((protocol) => {
    const mail = room(protocol);
    const login = room(`${protocol}-login`);
    if (mail === undefined || login === undefined) return [];
    if (login < mail) {
      return [
        `service ${protocol} has room for ${mail} sessions, but its login processes hold at most ${login} connections at a time; those with a TLS ` +
          'older than 1.3 stay in the login process for as long as they last',
      ];
    }
    return login > mail * 4
      ? [`${protocol}-login takes ${login} connections, service ${protocol} serves ${mail}: the others are refused`]
      : [];
  });
}
