import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { MemoryWatch } from '#services/master/memory-watch.js';
import { isAlive, MasterWorld, type ServiceChange, until } from './master-world.js';

type Services = Parameters<typeof MasterWorld.start>[0];

const single = (processMinAvail = 1): ServiceChange => ({ limits: { serviceCount: 1, clientLimit: 1, processLimit: 20, processMinAvail } });

async function withMaster(services: Services, work: (world: MasterWorld) => Promise<void>): Promise<void> {
  const world = await MasterWorld.start(services);
  try {
    await work(world);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\nlog:\n${world.log()}`, { cause: error });
  } finally {
    await world.close();
  }
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Processes that this process has started itself and that are named after the service's template. */
function templates(name: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => parentOf(pid) === process.pid && titleOf(pid).startsWith(`roost/${name} [template]`));
}

function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

/** Uses up processes until all those of the service are copies. @returns the template */
async function untilCopied(world: MasterWorld, name: 'toy' | 'mail' = 'toy'): Promise<number> {
  await until(
    () => templates(name).length === 1,
    () => 'a template',
  );
  const [template = 0] = templates(name);
  const strangers = (): number[] => world.pids(name).filter((pid) => pid !== 0 && parentOf(pid) !== template);
  const tellStrangers = (): void => {
    for (const pool of world.master.allPools.filter((candidate) => candidate.name === name)) {
      const ready = new Set(pool.scheduler.processes.flatMap(({ id, phase }) => (phase === 'ready' ? [id] : [])));
      for (const process of pool.children) {
        if (ready.has(process.id) && parentOf(process.child.pid) !== template) pool.stopChild(process, 'finish', 'it is no copy');
      }
    }
  };
  await until(
    () => {
      // Those that replace them may still come before the template is ready.
      tellStrangers();
      return world.pids(name).length > 0 && world.pids(name).every((pid) => pid !== 0 && parentOf(pid) === template);
    },
    () => `copies of ${template} only, there are also ${strangers().join()}`,
  );
  await world.ready(name, world.pids(name).length);
  return template;
}

describe('A service with service_count = 1', () => {
  it('serves each client in a copy of its template, which then ends', async () => {
    await withMaster({ toy: single() }, async (world) => {
      await untilCopied(world);
      const clients = [await world.greeted(), await world.greeted(), await world.greeted()];
      const pids = await Promise.all(clients.map((client) => client.pid()));
      assert.equal(new Set(pids).size, 3);
      for (const client of clients) client.send('quit');
      for (const client of clients) await client.ended();
      await until(
        () => pids.every((pid) => !isAlive(pid)),
        () => `end of ${pids.join()}`,
      );
      await world.logged(new RegExp(`child ${pids[0]} exited`));
      assert.doesNotMatch(world.log(), /returned error|throttling/);
    });
  });

  it('hands clients over to copies of another template', async () => {
    await withMaster({ toy: single(), mail: single(2) }, async (world) => {
      await untilCopied(world);
      const template = await untilCopied(world, 'mail');
      const sessions = await Promise.all(['anna', 'bert', 'carl'].map((user) => world.login(user)));
      for (const { client, pid } of sessions) {
        assert.equal(parentOf(pid), template);
        assert.equal(await client.pid(), pid);
      }
    });
  });

  it('gives copies random numbers and timers of their own', async () => {
    await withMaster({ toy: single(3) }, async (world) => {
      await untilCopied(world);
      const drawn: string[] = [];
      for (let count = 0; count < 3; count += 1) {
        const client = await world.greeted();
        client.send('random');
        const [, numbers = ''] = await client.until(/^random (.*)$/m);
        drawn.push(...numbers.split(' '));
        client.send('wait 150');
        const [, waited] = await client.until(/^waited (\d+)$/m);
        assert.ok(Number(waited) >= 149, `waited ${waited} ms`);
      }
      assert.equal(new Set(drawn).size, 12, drawn.join(' '));
      assert.equal(drawn.filter((text) => text.startsWith('0.')).length, 3);
    });
  });

  it('tells how a copy ended that was killed', async () => {
    await withMaster({ toy: single() }, async (world) => {
      await untilCopied(world);
      const client = await world.greeted();
      const pid = await client.pid();
      process.kill(pid, 'SIGKILL');
      await client.ended();
      await world.logged(new RegExp(`service\\(toy\\): child ${pid} killed with signal 9`));
    });
  });

  it('goes on without its template, and keeps the sessions that there are', async () => {
    await withMaster({ toy: single() }, async (world) => {
      const template = await untilCopied(world);
      const before = await world.greeted();
      const pid = await before.pid();
      process.kill(template, 'SIGKILL');
      await world.logged(/the template of its processes has ended \(it was killed with SIGKILL\)/);
      assert.equal(await before.pid(), pid);
      const after = await world.greeted();
      const next = await world.greeted();
      assert.notEqual(await after.pid(), await next.pid());
      before.send('quit');
      await before.ended();
      await until(
        () => !world.pids('toy').includes(pid),
        () => `the master to notice the end of ${pid}`,
      );
      assert.doesNotMatch(world.log(), /throttling/);
    });
  });

  it('leaves no template behind when it is reloaded or stopped', async () => {
    let left: number[] = [];
    await withMaster({ toy: single() }, async (world) => {
      const first = await untilCopied(world);
      const staying = await world.greeted();
      const plan = world.plan({ toy: single(2), mail: {} }, { shutdownClients: false, instanceName: 'other' });
      world.next = { kind: 'plan', plan, warnings: [] };
      await world.master.reload();
      const pid = await staying.pid();
      assert.ok(isAlive(first), 'the old template sees its last copy end');
      staying.send('quit');
      await staying.ended();
      await until(
        () => !isAlive(first) && !isAlive(pid),
        () => 'end of the old template',
      );
      await world.greeted();
      await until(
        () => templates('toy').length === 1,
        () => 'a new template',
      );
      left = templates('toy');
    });
    assert.equal(left.length, 1);
    await until(
      () => left.every((pid) => !isAlive(pid)),
      () => `end of ${left.join()}`,
    );
  });

  it('watches the memory of its template: names the setting once, and kills one far above it', async () => {
    const megabyte = 1024 * 1024;
    await withMaster({ toy: { ...single(), plan: { vszLimitBytes: 200 * megabyte } } }, async (world) => {
      const template = await untilCopied(world);
      const lines: string[] = [];
      const take = (_: string, text: string): void => void lines.push(text);
      const watch = new MemoryWatch({ ...silentLogger, warning: take, error: take }, () => world.master.allPools);
      const look = (bytes: number): void => watch.look((pid) => (pid === template ? bytes : megabyte));
      for (const bytes of [190 * megabyte, 210 * megabyte, 220 * megabyte]) look(bytes);
      assert.deepEqual(lines, [
        `service(toy): the template ${template} uses 210 MB (service toy { vsz_limit=200 MB }, you may need to increase it)`,
      ]);
      look(310 * megabyte);
      assert.match(lines[1] ?? '', /uses 310 MB .* - killed$/);
      await world.logged(/the template of its processes has ended \(it was killed with SIGKILL\)/);
      await world.greeted();
    });
  });

  it('does without where process_templates = no', async () => {
    const world = await MasterWorld.start({ toy: single() }, { hasTemplates: false });
    try {
      const client = await world.greeted();
      assert.equal(parentOf(await client.pid()), process.pid);
      assert.deepEqual(templates('toy'), []);
    } finally {
      await world.close();
    }
  });
});
