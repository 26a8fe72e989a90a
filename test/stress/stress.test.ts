// Longer, or another run: ROOST_STRESS_SECONDS, ROOST_STRESS_SESSIONS, ROOST_STRESS_SEED. The long form is main.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runStress } from './run.js';
import { openTarget, targets } from './targets.js';

const seconds = process.env['ROOST_STRESS_SECONDS'];
const sessions = Number(process.env['ROOST_STRESS_SESSIONS'] ?? 7);
const seed = Number(process.env['ROOST_STRESS_SEED'] ?? 1);

describe('random sessions on shared mailboxes are told nothing wrong and lose nothing', () => {
  for (const name of Object.keys(targets)) {
    it(`${name}, ${sessions} sessions, seed ${seed}`, { timeout: 60_000 + Number(seconds ?? 0) * 1_000 }, async () => {
      await using target = await openTarget(name);
      const length = seconds === undefined ? { steps: 40 } : { seconds: Number(seconds) };
      const { commands } = await runStress({ seed, sessions, ...length, ...target, connect: target.connect });
      assert.ok(commands >= sessions * 10, `${commands} commands`);
    });
  }
});
