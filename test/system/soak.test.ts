// Runs longer with ROOST_SOAK_SECONDS, ROOST_SOAK_CLIENTS and ROOST_SOAK_SEED; the long form is soak-main.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Soak, type SoakProgress } from './soak.js';

const seconds = Number(process.env['ROOST_SOAK_SECONDS'] ?? 10);
const clients = Number(process.env['ROOST_SOAK_CLIENTS'] ?? 40);
const seed = Number(process.env['ROOST_SOAK_SEED'] ?? 1);

const hasDoneAll = ({ appended, delivered, stored, deleted, secured }: SoakProgress): boolean =>
  appended > 0 && delivered > 0 && stored > 0 && deleted > 0 && secured > 0;
const killedKinds = ({ kills }: SoakProgress): number => Object.keys(kills).length;
const hasKilledTemplate = ({ kills }: SoakProgress): boolean => Object.keys(kills).some((service) => service.endsWith('template'));

describe('a server whose processes are killed at random', () => {
  it(`loses nothing it acknowledged and explains every broken connection (${seconds} s, ${clients} clients)`, {
    timeout: seconds * 1_000 + 240_000,
  }, async () => {
    const soak = new Soak({
      seconds,
      until: (progress) => hasDoneAll(progress) && killedKinds(progress) >= 3,
      clients,
      seed,
      killEveryMs: 250,
      reloadEveryMs: 3_000,
      hasDirect: true,
    });
    const result = await soak.run();
    assert.deepEqual(result.problems.slice(0, 10), [], [...result.stories, soak.log.slice(-4_000)].join('\n'));
    assert.ok(hasDoneAll(result), JSON.stringify(result));
    assert.ok(killedKinds(result) >= 3, `killed ${JSON.stringify(result.kills)}`);
  });

  it(`does so where each session has a process, copied from a template (${seconds} s)`, {
    timeout: seconds * 1_000 + 240_000,
  }, async () => {
    const soak = new Soak({
      seconds,
      until: (progress) => hasDoneAll(progress) && hasKilledTemplate(progress),
      clients: Math.ceil(clients / 3),
      seed,
      killEveryMs: 250,
      reloadEveryMs: 4_000,
      pools: 'strict',
    });
    const result = await soak.run();
    assert.deepEqual(result.problems.slice(0, 10), [], [...result.stories, soak.log.slice(-4_000)].join('\n'));
    assert.ok(hasDoneAll(result), JSON.stringify(result));
    assert.ok(hasKilledTemplate(result), `killed ${JSON.stringify(result.kills)}`);
  });

  it('refuses and breaks no connection by reloads where sessions may finish (shutdown_clients = no)', { timeout: 240_000 }, async () => {
    const soak = new Soak({
      seconds: 6,
      until: hasDoneAll,
      clients,
      seed,
      // Never.
      killEveryMs: 100_000_000,
      reloadEveryMs: 1_500,
      hasDirect: true,
      keepsSessions: true,
    });
    const result = await soak.run();
    assert.deepEqual(result.problems.slice(0, 10), [], [...result.stories, soak.log.slice(-4_000)].join('\n'));
    assert.deepEqual(result.accounted, {});
    assert.ok(hasDoneAll(result) && result.reloads >= 2, JSON.stringify(result));
  });
});
