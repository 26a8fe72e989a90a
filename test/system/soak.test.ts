// Runs longer with ROOST_SOAK_SECONDS, ROOST_SOAK_CLIENTS and ROOST_SOAK_SEED; the long form is soak-main.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Soak } from './soak.js';

const seconds = Number(process.env['ROOST_SOAK_SECONDS'] ?? 10);
const clients = Number(process.env['ROOST_SOAK_CLIENTS'] ?? 40);
const seed = Number(process.env['ROOST_SOAK_SEED'] ?? 1);

describe('a server whose processes are killed at random', () => {
  it(`loses nothing it acknowledged and explains every broken connection (${seconds} s, ${clients} clients)`, {
    timeout: seconds * 1_000 + 120_000,
  }, async () => {
    const soak = new Soak({ seconds, clients, seed, killEveryMs: 250, reloadEveryMs: 3_000, hasDirect: true });
    const result = await soak.run();
    assert.deepEqual(result.problems.slice(0, 10), [], soak.log.slice(-4_000));
    assert.ok(
      result.appended > 0 && result.delivered > 0 && result.stored > 0 && result.deleted > 0 && result.secured > 0,
      JSON.stringify(result),
    );
    assert.ok(Object.keys(result.kills).length >= 3, `killed ${JSON.stringify(result.kills)}`);
  });

  it(`does so where each session has a process, copied from a template (${seconds} s)`, {
    timeout: seconds * 1_000 + 120_000,
  }, async () => {
    const soak = new Soak({ seconds, clients: Math.ceil(clients / 3), seed, killEveryMs: 250, reloadEveryMs: 4_000, pools: 'strict' });
    const result = await soak.run();
    assert.deepEqual(result.problems.slice(0, 10), [], soak.log.slice(-4_000));
    assert.ok(
      result.appended > 0 && result.delivered > 0 && result.stored > 0 && result.deleted > 0 && result.secured > 0,
      JSON.stringify(result),
    );
    assert.ok(
      Object.keys(result.kills).some((service) => service.endsWith('template')),
      `killed ${JSON.stringify(result.kills)}`,
    );
  });
});
