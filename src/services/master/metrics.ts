// The figures of all services in the text formats of Prometheus (0.0.4) and OpenMetrics (1.0).
//
// The only label is the name of a service, and the state or the outcome where there are a few: neither users nor addresses, of which there may be
// millions, and which are nobody's business who may read this.
import { type CountName, countNames } from '#ipc/counts.js';
import { residentBytes } from './memory-watch.js';
import type { Pool } from './pool.js';
import type { PoolCounters } from './pool-counters.js';
import { serviceRows } from './status-report.js';

export interface ServerFacts {
  readonly startedAtMs: number;
  readonly reloads: number;
  readonly failedReloads: number;
}

export interface ServiceMetrics {
  readonly name: string;
  readonly gauges: Readonly<Record<GaugeName, number>>;
  readonly counters: Omit<PoolCounters, 'counts'>;
  readonly counts: Readonly<Record<CountName, number>>;
}

/** Metric without `roost_service_`, and what it says. */
const gauges = {
  processes: 'Processes that count against process_limit.',
  processes_available: 'Processes with room for another client.',
  processes_busy: 'Processes that take no new clients because of their load.',
  process_limit: 'Setting process_limit.',
  process_min_avail: 'Setting process_min_avail.',
  client_limit: 'Setting client_limit, clients of one process.',
  clients: 'Clients now.',
  waiting: 'Logged-in users that wait for a process now.',
  throttled: '1 while processes are not started because starts failed.',
  resident_memory_bytes: 'Resident memory of all processes, what they share counted for each.',
} as const;

type GaugeName = keyof typeof gauges;

const counters: Readonly<Record<keyof Omit<PoolCounters, 'counts'>, readonly [metric: string, help: string]>> = {
  served: ['clients_served', 'Clients taken.'],
  started: ['processes_started', 'Processes started.'],
  failed: ['processes_failed', 'Processes that ended with an error or were killed by nobody of the server.'],
  killed: ['processes_silent', 'Processes killed because they did not report for duty.'],
  memoryEnds: ['memory_limit', 'Processes replaced or killed because of vsz_limit.'],
  throttled: ['throttles', 'Times that starts were put off because they failed.'],
  waited: ['waits', 'Logged-in users that had to wait for a process.'],
  pushedOut: ['pushed_out', 'Clients ended before login to make room for newer ones.'],
  refused: ['refused', 'Clients refused for lack of room or because of load.'],
  limitReached: ['limit_reached', 'Times that process_limit or client_limit was reached.'],
};

/** Counts of the processes; those with the same metric differ in one label. */
const counts: Readonly<Record<CountName, readonly [metric: string, label: string, help: string]>> = {
  logins: ['logins', '', 'Clients that have logged in and have a session.'],
  'user-limit-refusals': ['login_refused', 'reason="user_limit"', 'Right logins that got no session.'],
  'no-process-refusals': ['login_refused', 'reason="no_process"', ''],
  'auth-ok': ['auth_requests', 'result="ok"', 'Authentication requests.'],
  'auth-failed': ['auth_requests', 'result="failed"', ''],
  'auth-temporary': ['auth_requests', 'result="temporary_failure"', ''],
  'auth-cache-hits': [
    'auth_cache',
    'result="hit"',
    'Lookups in the authentication cache: answers of databases, and passwords that were right before.',
  ],
  'auth-cache-misses': ['auth_cache', 'result="miss"', ''],
  saved: ['deliveries', 'result="saved"', 'Messages delivered, by recipient.'],
  'save-failed': ['deliveries', 'result="failed"', ''],
  'busy-waits': ['load_shedding', 'state="wait"', 'Times that a process was too busy: new clients wait, then are refused.'],
  'busy-refusals': ['load_shedding', 'state="refuse"', ''],
};

/** @param all with retired pools, whose processes still count */
export function metricsOf(pools: readonly Pool[], all: readonly Pool[], nowMs: number): ServiceMetrics[] {
  return serviceRows(pools, all, nowMs).flatMap((row): ServiceMetrics[] => {
    const pool = pools.find(({ name }) => name === row.name);
    if (pool === undefined) return [];
    const children = all.filter(({ name }) => name === row.name).flatMap((one) => one.children);
    const { counts: named, ...own } = pool.counters;
    return [
      {
        name: row.name,
        gauges: {
          processes: row.processCount,
          processes_available: row.processAvailable,
          processes_busy: children.filter(({ load }) => load !== undefined).length,
          process_limit: row.processLimit,
          process_min_avail: row.processMinAvail,
          client_limit: row.clientLimit,
          clients: row.clients,
          waiting: row.waiting,
          throttled: row.isThrottled ? 1 : 0,
          resident_memory_bytes: children.reduce((sum, { child }) => sum + residentBytes(child.pid), 0),
        },
        counters: own,
        counts: named,
      },
    ];
  });
}

/** The whole answer, with its last line end. */
export function metricsText(server: ServerFacts, services: readonly ServiceMetrics[], format: 'text' | 'openmetrics'): string {
  const writer = new MetricsWriter(format);
  writer.family('roost_start_time_seconds', 'gauge', 'When the server was started, UNIX time.', [['', server.startedAtMs / 1000]]);
  writer.family('roost_reloads', 'counter', 'Times that the configuration was read again.', [
    ['result="ok"', server.reloads],
    ['result="failed"', server.failedReloads],
  ]);
  const each = (label: string, value: (service: ServiceMetrics) => number): (readonly [string, number])[] =>
    services.map((service) => [`service="${escapeLabel(service.name)}"${label === '' ? '' : `,${label}`}`, value(service)]);
  for (const name of keysOf(gauges))
    writer.family(
      `roost_service_${name}`,
      'gauge',
      gauges[name],
      each('', (service) => service.gauges[name]),
    );
  for (const name of keysOf(counters)) {
    const [metric, help] = counters[name];
    writer.family(
      `roost_service_${metric}`,
      'counter',
      help,
      each('', (service) => service.counters[name]),
    );
  }
  // What a service has never counted it does not do.
  for (const first of countNames) {
    const [metric, , help] = counts[first];
    if (help === '') continue;
    const family = countNames.filter((name) => counts[name][0] === metric);
    const doing = services.filter((service) => family.some((name) => service.counts[name] > 0));
    const samples = family.flatMap((name) =>
      doing.map((service): readonly [string, number] => {
        const label = counts[name][1];
        return [`service="${escapeLabel(service.name)}"${label === '' ? '' : `,${label}`}`, service.counts[name]];
      }),
    );
    writer.family(`roost_${metric}`, 'counter', help, samples);
  }
  return writer.end();
}

class MetricsWriter {
  readonly #format: 'text' | 'openmetrics';
  readonly #lines: string[] = [];

  constructor(format: 'text' | 'openmetrics') {
    this.#format = format;
  }

  /** @param name without `_total`: OpenMetrics names the family without, Prometheus with it */
  family(name: string, type: 'gauge' | 'counter', help: string, samples: readonly (readonly [labels: string, value: number])[]): void {
    const sample = type === 'counter' ? `${name}_total` : name;
    const family = this.#format === 'openmetrics' ? name : sample;
    this.#lines.push(`# HELP ${family} ${help}`, `# TYPE ${family} ${type}`);
    for (const [labels, value] of samples) this.#lines.push(`${sample}${labels === '' ? '' : `{${labels}}`} ${value}`);
  }

  end(): string {
    if (this.#format === 'openmetrics') this.#lines.push('# EOF');
    return `${this.#lines.join('\n')}\n`;
  }
}

function keysOf<Key extends string>(table: Readonly<Record<Key, unknown>>): Key[] {
  return Object.keys(table) as Key[];
}

/** Names of services are an administrator's words. */
function escapeLabel(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}
