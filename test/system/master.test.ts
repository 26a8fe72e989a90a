import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askMaster } from '#ipc/master-client.js';
import { BindError } from '#services/master/listeners.js';
import type { ServerPlan } from '#services/master/plan.js';
import { patienceMs } from '../support/patience.js';
import { isAlive, MasterWorld, type ServiceChange, until } from './master-world.js';

type Start = Parameters<typeof MasterWorld.start>;

async function withMaster(work: (world: MasterWorld) => Promise<void>, ...start: Start): Promise<void> {
  const world = await MasterWorld.start(...start);
  try {
    await work(world);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\nlog:\n${world.log()}`, { cause: error });
  } finally {
    await world.close();
  }
}

const one = { processLimit: 1, clientLimit: 1 };

describe('The master', () => {
  it('starts a process for the first connection, which is greeted by it', async () => {
    await withMaster(async (world) => {
      assert.deepEqual(world.pids('toy'), []);
      const client = await world.greeted();
      assert.deepEqual(world.pids('toy'), [await client.pid()]);
      assert.notEqual(await client.pid(), process.pid);
    });
  });

  it('prestarts process_min_avail processes', async () => {
    await withMaster(
      async (world) => {
        await world.ready('toy', 2);
        assert.equal(world.pids('toy').length, 2);
      },
      { toy: { limits: { processMinAvail: 2 } } },
    );
  });

  it('serves the next connection after a SIGKILL of the process', async () => {
    await withMaster(async (world) => {
      const first = await world.greeted();
      const pid = await first.pid();
      process.kill(pid, 'SIGKILL');
      await first.ended();
      const second = await world.greeted();
      assert.notEqual(await second.pid(), pid);
      await world.logged(new RegExp(`service\\(toy\\): child ${pid} killed with signal 9`));
    });
  });

  it('ends a process after service_count connections, each connection of count 1 having its own', async () => {
    await withMaster(
      async (world) => {
        const clients = await Promise.all([1, 2, 3].map(() => world.greeted()));
        const pids = await Promise.all(clients.map((client) => client.pid()));
        assert.equal(new Set(pids).size, 3);
        for (const client of clients) client.send('quit');
        await until(
          () => pids.every((pid) => !isAlive(pid)),
          () => 'end of the processes',
        );
        assert.doesNotMatch(world.log(), /"level":"error"/);
      },
      { toy: { limits: { serviceCount: 1, clientLimit: 1 } } },
    );
  });

  it('makes a new connection push out the oldest client that has not logged in, when a login service is full', async () => {
    await withMaster(
      async (world) => {
        const oldest = await world.greeted();
        const newest = world.connect();
        await oldest.until(/^stop queue-full/m);
        await newest.until(/^hello /m);
        await world.logged(/service\(toy\): client_limit \(1\) reached, client connections are being dropped/);
      },
      { toy: { limits: one } },
    );
  });

  it('lets a connection of another service wait for a free slot', async () => {
    await withMaster(
      async (world) => {
        const first = await world.greeted();
        const second = world.connect();
        await world.logged(/client_limit \(1\) reached/);
        first.send('quit');
        await second.until(/^hello /m);
      },
      { toy: { limits: { ...one, isLogin: false } } },
    );
  });

  it('throttles a service whose processes die at their start, and logs their last words', async () => {
    await withMaster(
      async (world) => {
        world.connect();
        await world.logged(/service\(toy\): command startup failed, throttling for 2\.000 secs/);
        assert.match(world.log(), /"prefix":"toy: ","event":"process.raw","message":"cannot go on"/);
        assert.match(world.log(), /service\(toy\): child \d+ returned error 7/);
        assert.deepEqual(world.pids('toy'), []);
      },
      { toy: { plan: { role: 'broken' } } },
    );
  });

  it('says which setting to change when a port is taken, and leaves nothing behind', async () => {
    await withMaster(async (world) => {
      const other = MasterWorld.start(
        {},
        {
          services: world.master.plan.services.map((service) => ({
            ...service,
            listeners: service.listeners.map((listener) => ({ ...listener, port: world.port })),
          })),
        },
      );
      await assert.rejects(other, (error) => {
        assert.ok(error instanceof BindError);
        assert.match(error.message, new RegExp(`port ${world.port} on 127.0.0.1 is already in use .*inet_listener toy`));
        return true;
      });
    });
  });
});

describe('A confined process', () => {
  it('can read its own code, but no other file, and can neither write files nor start programs or threads', async () => {
    await withMaster(
      async (world) => {
        world.connect();
        await world.logged(/"message":"code: /);
        const outcomes = [...world.log().matchAll(/"message":"(write|read|spawn|thread|code): (\w+)"/g)].map(([, name, outcome]) => [
          name,
          outcome,
        ]);
        assert.deepEqual(outcomes, [
          ['write', 'ERR_ACCESS_DENIED'],
          ['read', 'ERR_ACCESS_DENIED'],
          ['spawn', 'ERR_ACCESS_DENIED'],
          ['thread', 'ERR_ACCESS_DENIED'],
          ['code', 'done'],
        ]);
      },
      { toy: { plan: { role: 'confined', isConfined: true } } },
    );
  });
});

describe('A logged-in user', () => {
  it('is handed to a mail process, and every session of the same user to the same one', async () => {
    await withMaster(
      async (world) => {
        await world.ready('mail', 2);
        const anna = await world.login('anna');
        const bob = await world.login('bob');
        const again = await world.login('anna');
        assert.notEqual(anna.pid, bob.pid);
        assert.equal(again.pid, anna.pid);
        assert.equal(await anna.client.pid(), anna.pid);
      },
      { mail: { limits: { processMinAvail: 2 } } },
    );
  });

  it('is served again after a SIGKILL of the mail process', async () => {
    await withMaster(async (world) => {
      const first = await world.login('anna');
      process.kill(first.pid, 'SIGKILL');
      await first.client.ended();
      const second = await world.login('anna');
      assert.notEqual(second.pid, first.pid);
    });
  });

  it('gets a process of its own when client_limit is 1', async () => {
    await withMaster(
      async (world) => {
        const sessions = await Promise.all(['anna', 'bob', 'carl'].map((user) => world.login(user)));
        assert.equal(new Set(sessions.map(({ pid }) => pid)).size, 3);
      },
      { mail: { limits: { clientLimit: 1, serviceCount: 1 } } },
    );
  });

  it('waits for a slot, and gets the one that becomes free', async () => {
    await withMaster(
      async (world) => {
        const first = await world.login('anna');
        const second = await world.greeted();
        second.send('LOGIN bob');
        await world.logged(/service\(mail\): client_limit \(1\) reached/);
        first.client.send('quit');
        await second.until(/^welcome bob/m);
      },
      { mail: { limits: one } },
    );
  });
});

describe('Reload', () => {
  it('starts new processes on the same port, and ends the sessions of the old ones', async () => {
    await withMaster(async (world) => {
      const before = await world.login('anna');
      const reply = await askMaster(world.baseDir, { command: 'reload' }, { timeoutMs: patienceMs });
      assert.deepEqual(reply, { ok: true, warnings: [] });
      await before.client.until(/^stop shutdown/m);
      const after = await world.login('anna');
      assert.notEqual(after.pid, before.pid);
      await until(
        () => !isAlive(before.pid),
        () => 'end of the old process',
      );
    });
  });

  it('lets old sessions finish with shutdown_clients = no', async () => {
    const keep: Partial<ServerPlan> = { shutdownClients: false };
    await withMaster(
      async (world) => {
        const before = await world.login('anna');
        await world.master.reload();
        const after = await world.login('anna');
        assert.notEqual(after.pid, before.pid);
        assert.equal(await before.client.pid(), before.pid);
        before.client.send('quit');
        await until(
          () => !isAlive(before.pid),
          () => 'end of the old process',
        );
      },
      {},
      keep,
    );
  });

  it('keeps everything when the new configuration is broken, and says what is wrong', async () => {
    await withMaster(async (world) => {
      const { client, pid } = await world.login('anna');
      world.next = { kind: 'broken', problems: ['roost.conf:3: Unknown setting: servic'] };
      const reply = await askMaster(world.baseDir, { command: 'reload' }, { timeoutMs: patienceMs });
      assert.deepEqual(reply, { ok: false, problems: ['roost.conf:3: Unknown setting: servic'] });
      assert.equal(await client.pid(), pid);
      await world.logged(/Config reload failed: roost.conf:3/);
    });
  });

  it('lets a client that is about to log in do so, in a process of the new configuration', async () => {
    await withMaster(async (world) => {
      const { pid } = await world.login('anna');
      const client = await world.greeted();
      await world.master.reload();
      client.send('LOGIN anna');
      const [, newPid] = await client.until(/^welcome \S+ to (\d+)/m);
      assert.notEqual(Number(newPid), pid);
    });
  });

  it('ends a client that does not log in within the grace time', async () => {
    await withMaster(
      async (world) => {
        const client = await world.greeted();
        await world.master.reload();
        await client.until(/^stop shutdown/m);
      },
      {},
      { stopGraceMs: 200 },
    );
  });

  it('keeps anvil and auth while nothing of theirs changes, and tells them', async () => {
    const stays: ServiceChange = { plan: { survivesReload: true } };
    await withMaster(
      async (world) => {
        const { client, pid } = await world.login('anna');
        await world.master.reload();
        await client.until(/^reloaded/m);
        assert.equal(await client.pid(), pid);
        const services = world.plan({
          toy: {},
          mail: { plan: { survivesReload: true, settingsFor: () => ({ version: 1, groups: [], kinds: [], layers: [] }) } },
        });
        world.next = { kind: 'plan', plan: services, warnings: [] };
        await world.master.reload();
        await client.until(/^stop shutdown/m);
      },
      { mail: stays },
    );
  });

  it('refuses no connection while it happens', async () => {
    await withMaster(async (world) => {
      let served = 0;
      let isOver = false;
      const client = async (): Promise<void> => {
        while (!isOver) {
          const connection = world.connect();
          await connection.until(/^hello /m);
          connection.send(`LOGIN user${served % 3}`);
          await connection.until(/^welcome /m);
          served += 1;
          connection.socket.destroy();
        }
      };
      const reloads = async (): Promise<void> => {
        for (let round = 0; round < 3; round += 1) {
          await world.master.reload();
          const wanted = served + 6;
          await until(
            () => served >= wanted,
            () => 'more logins',
          );
        }
        isOver = true;
      };
      await Promise.all([client(), client(), client(), reloads()]);
      assert.ok(served >= 18, `${served} logins`);
    });
  });
});

describe('Stop', () => {
  it('ends sessions politely, then leaves no process, no socket and no pid file', async () => {
    const world = await MasterWorld.start();
    const { client, pid } = await world.login('anna');
    const pids = [...world.pids('toy'), ...world.pids('mail')];
    assert.ok(pids.includes(pid));
    assert.deepEqual(world.files(), ['master', 'master.pid', 'srv']);
    await askMaster(world.baseDir, { command: 'stop' }, { timeoutMs: patienceMs, untilEnd: true });
    await client.until(/^stop shutdown/m);
    assert.deepEqual(pids.filter(isAlive), []);
    assert.deepEqual(world.files(), []);
    const late = world.connect();
    await late.ended();
    assert.equal(late.received, '');
    await world.close();
  });
});

describe('The control socket', () => {
  it('reports services and processes', async () => {
    await withMaster(async (world) => {
      const { pid } = await world.login('anna');
      await until(
        () =>
          world.master.allPools.some(({ name, scheduler }) => name === 'mail' && scheduler.processes.some(({ clients }) => clients === 1)),
        () => 'the status of the mail process',
      );
      const services = await askMaster(world.baseDir, { command: 'service-status' }, { timeoutMs: patienceMs });
      assert.ok(services.ok);
      const mail = services.services?.find(({ name }) => name === 'mail');
      assert.deepEqual([mail?.processCount, mail?.clients, mail?.processLimit], [1, 1, 4]);
      const processes = await askMaster(world.baseDir, { command: 'process-status', services: ['mail'] }, { timeoutMs: patienceMs });
      assert.ok(processes.ok);
      assert.deepEqual(
        processes.processes?.map((row) => [row.service, row.pid, row.clients]),
        [['mail', pid, 1]],
      );
      assert.ok((processes.processes?.[0]?.rssBytes ?? 0) > 1_000_000);
    });
  });

  it('ends the processes of a service, which are replaced', async () => {
    await withMaster(async (world) => {
      const { pid } = await world.login('anna');
      const reply = await askMaster(world.baseDir, { command: 'service-stop', services: ['mail'] }, { timeoutMs: patienceMs });
      assert.deepEqual(reply, { ok: true });
      await until(
        () => !isAlive(pid),
        () => 'end of the process',
      );
      assert.notEqual((await world.login('anna')).pid, pid);
    });
  });

  it('refuses what it does not know', async () => {
    await withMaster(async (world) => {
      const reply = await askMaster(world.baseDir, { command: 'service-stop', services: ['nothing'] }, { timeoutMs: patienceMs });
      assert.deepEqual(reply, { ok: false, problems: ['unknown service nothing'] });
    });
  });
});
