// Closed-loop load: so many workers, each doing one thing after the other, for a while.
import { treeCpuMs } from '../processes.js';
import type { Figure } from '../scenario.js';
import { percentile } from '../stats.js';

export interface LoadResult {
  readonly count: number;
  readonly seconds: number;
  /** ms of each operation. */
  readonly latencies: readonly number[];
  /** CPU of all the server's processes, ms. */
  readonly serverCpuMs: number;
  readonly clientCpuMs: number;
  /** Which client has made the load. */
  readonly client: 'C++' | 'TypeScript';
}

/** @param work one operation; `worker` and `turn` tell them apart */
export async function runLoad(
  options: { readonly serverPid: number; readonly workers: number; readonly durationMs: number },
  work: (worker: number, turn: number) => Promise<void>,
): Promise<LoadResult> {
  const latencies: number[] = [];
  const cpuBefore = treeCpuMs(options.serverPid);
  const clientBefore = process.cpuUsage();
  const startedAt = performance.now();
  const until = startedAt + options.durationMs;
  await Promise.all(
    Array.from({ length: options.workers }, async (_, worker) => {
      for (let turn = 0; performance.now() < until; turn++) {
        const before = performance.now();
        await work(worker, turn);
        latencies.push(performance.now() - before);
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const client = process.cpuUsage(clientBefore);
  return {
    count: latencies.length,
    seconds,
    latencies,
    serverCpuMs: treeCpuMs(options.serverPid) - cpuBefore,
    clientCpuMs: (client.user + client.system) / 1000,
    client: 'TypeScript',
  };
}

/** Several loads of one client as one. */
export function together(results: readonly LoadResult[]): LoadResult {
  const sum = (of: (result: LoadResult) => number): number => results.reduce((total, result) => total + of(result), 0);
  return {
    count: sum(({ count }) => count),
    seconds: sum(({ seconds }) => seconds),
    latencies: results.flatMap(({ latencies }) => latencies),
    serverCpuMs: sum(({ serverCpuMs }) => serverCpuMs),
    clientCpuMs: sum(({ clientCpuMs }) => clientCpuMs),
    client: results[0]?.client ?? 'TypeScript',
  };
}

/** Middle, tail and worst. */
export function latencyFigures(what: string, latencies: readonly number[]): readonly Figure[] {
  return [
    { metric: `${what} p50`, unit: 'ms', better: 'lower', value: percentile(latencies, 50) },
    { metric: `${what} p99`, unit: 'ms', better: 'lower', value: percentile(latencies, 99) },
    { metric: `${what} max`, unit: 'ms', better: 'lower', value: percentile(latencies, 100) },
  ];
}

/** What the client takes of the same processors: where it is not well below the server's, it is a part of what is measured. */
export function clientFigure(what: string, { client, clientCpuMs, count }: LoadResult): Figure {
  const which = client === 'TypeScript' ? ' (client in TypeScript)' : '';
  return { metric: `client CPU per ${what}${which}`, unit: 'ms', better: 'lower', value: clientCpuMs / count };
}

/** Of the client alone. */
export function clientFigures(what: string, result: LoadResult): readonly Figure[] {
  return [
    { metric: `${what}/s`, unit: '1/s', better: 'higher', value: result.count / result.seconds },
    clientFigure(what, result),
    { metric: 'client CPU, part of one core', unit: '1', better: 'lower', value: result.clientCpuMs / 1_000 / result.seconds },
  ];
}

/** The usual five figures. */
export function loadFigures(what: string, result: LoadResult): readonly Figure[] {
  return [
    { metric: `${what}/s`, unit: '1/s', better: 'higher', value: result.count / result.seconds },
    { metric: `server CPU per ${what}`, unit: 'ms', better: 'lower', value: result.serverCpuMs / result.count },
    clientFigure(what, result),
    { metric: `${what} p50`, unit: 'ms', better: 'lower', value: percentile(result.latencies, 50) },
    { metric: `${what} p99`, unit: 'ms', better: 'lower', value: percentile(result.latencies, 99) },
  ];
}
