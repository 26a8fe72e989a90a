// Runs longer with ROOST_STRESS_STEPS=5000 ROOST_STRESS_SEED=7 ROOST_STRESS_CLIENTS=20.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startImapProcess } from '../../support/imap-process.js';
import { storages } from '../../support/imap-storages.js';
import { runStress } from '../../support/imap-stress.js';
import { createImapWorld } from '../../support/imap-world.js';

const steps = Number(process.env['ROOST_STRESS_STEPS'] ?? 100);
const clients = Number(process.env['ROOST_STRESS_CLIENTS'] ?? 4);
const seed = Number(process.env['ROOST_STRESS_SEED'] ?? 1);

describe('many sessions on one mailbox see no protocol violation and agree in the end', () => {
  for (const kind of ['memory', 'maildir']) {
    it(`${clients} clients, ${steps} commands each, ${kind}, seed ${seed}`, async (test) => {
      const openUser = storages[kind]?.(test as TestContext);
      await using world = await createImapWorld(openUser === undefined ? {} : { openUser });
      const connected = await Promise.all(Array.from({ length: clients }, () => world.connect()));
      await runStress(
        connected.map(({ client }) => client),
        seed,
        steps,
      );
    });
  }

  it(`${clients} clients in two processes, ${steps} commands each, maildir, seed ${seed}`, async (test) => {
    const home = mkdtempSync(join(tmpdir(), 'roost-stress-'));
    const processes = await Promise.all([startImapProcess(home), startImapProcess(home)]);
    (test as TestContext).after(async () => {
      await Promise.all(processes.map((child) => child.stop()));
      rmSync(home, { recursive: true, force: true });
    });
    const connected = await Promise.all(Array.from({ length: clients }, (_, index) => processes[index % 2]?.connect()));
    const open = connected.filter((client) => client !== undefined);
    try {
      await runStress(open, seed, steps);
    } finally {
      for (const client of open) client.close();
    }
  });
});
