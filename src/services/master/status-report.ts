// The pools as rows for `roostadm service status` and `process status`.
import type { ProcessStatusRow, ServiceStatus, TemplateStatusRow } from '#ipc/master-client.js';
import { residentBytes } from './memory-watch.js';
import type { Pool } from './pool.js';

/** @param all with retired pools, whose clients still count */
export function serviceRows(pools: readonly Pool[], all: readonly Pool[], nowMs: number): ServiceStatus[] {
  return pools
    .map((pool): ServiceStatus => {
      const { limits } = pool.plan;
      const views = all.filter(({ name }) => name === pool.name).flatMap(({ scheduler }) => scheduler.processes);
      return {
        name: pool.name,
        processCount: pool.scheduler.processCount,
        processLimit: limits.processLimit,
        processAvailable: pool.scheduler.processes.filter(({ free }) => free > 0).length,
        clientLimit: limits.clientLimit,
        serviceCount: limits.serviceCount,
        processMinAvail: limits.processMinAvail,
        clients: views.reduce((sum, { clients }) => sum + clients, 0),
        waiting: pool.scheduler.waitingCount,
        isThrottled: pool.scheduler.isThrottled(nowMs),
        lastDropAt: pool.lastDropAtMs,
        started: pool.counters.started,
        failed: pool.counters.failed,
        pushedOut: pool.counters.pushedOut,
        refused: pool.counters.refused,
        limitReached: pool.counters.limitReached,
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function processRows(pools: readonly Pool[], names: readonly string[]): ProcessStatusRow[] {
  const rows: ProcessStatusRow[] = [];
  for (const pool of pools) {
    if (names.length > 0 && !names.includes(pool.name)) continue;
    for (const view of pool.scheduler.processes) {
      const child = pool.children.find(({ id }) => id === view.id);
      if (child === undefined) continue;
      rows.push({
        service: pool.name,
        pid: child.child.pid,
        generation: pool.generation,
        phase: view.phase,
        clients: view.clients,
        available: view.free,
        served: view.served,
        startedAt: view.startedAtMs,
        idleSince: view.load === 0 ? view.idleSinceMs : undefined,
        identity: view.key,
        rssBytes: residentBytes(child.child.pid),
      });
    }
  }
  return rows;
}

export function templateRows(pools: readonly Pool[], names: readonly string[]): TemplateStatusRow[] {
  const rows: TemplateStatusRow[] = [];
  for (const pool of pools) {
    if (names.length > 0 && !names.includes(pool.name)) continue;
    for (const { facts } of pool.templates) {
      if (facts === undefined) continue;
      const { pid, isReady, copies, startedAtMs: startedAt } = facts;
      rows.push({ service: pool.name, pid, generation: pool.generation, isReady, copies, startedAt, rssBytes: residentBytes(pid) });
    }
  }
  return rows;
}
