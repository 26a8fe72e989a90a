// Roost as a service: started in the background, reloaded under load, stopped.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ImapClient } from './support/imap.js';
import { mustRun } from './support/programs.js';
import { runRoost, until } from './support/servers.js';
import { makeWorld } from './support/world.js';

const clients = 8;
const reloads = 4;

describe('Roost in the background', () => {
  it('refuses no connection and breaks no login while it is reloaded again and again', async () => {
    const world = await makeWorld({ settings: { shutdown_clients: 'no' } });
    try {
      const started = await runRoost(world, ['-c', world.configFile]);
      assert.equal(started.code, 0, started.stderr);
      const pid = Number(readFileSync(join(world.baseDir, 'master.pid'), 'utf8'));
      assert.ok(pid > 1);
      await (await until('a login', () => ImapClient.login(world.ports.imap, 'anna').catch(() => undefined))).logout();
      let isOver = false;
      let sessions = 0;
      const failures: string[] = [];
      const work = async (user: string): Promise<void> => {
        while (!isOver) {
          try {
            const client = await ImapClient.login(world.ports.imap, user);
            await client.ok('SELECT INBOX');
            await client.ok('NOOP');
            await client.logout();
            sessions += 1;
          } catch (error) {
            failures.push(String(error));
          }
        }
      };
      const all = Array.from({ length: clients }, (_, index) => work(['anna', 'berta', 'carla'][index % 3] ?? 'anna'));
      for (let count = 0; count < reloads; count++) {
        const before = sessions;
        const reloaded = await runRoost(world, ['reload', '-c', world.configFile]);
        assert.equal(reloaded.code, 0, reloaded.stderr);
        await until('sessions after the reload', () => (sessions > before + 2 * clients ? true : undefined));
      }
      isOver = true;
      await Promise.all(all);
      assert.deepEqual(failures, []);
      assert.equal((await runRoost(world, ['stop', '-c', world.configFile])).code, 0);
      await until('the process is gone', () => (existsSync(`/proc/${pid}`) ? undefined : true));
      const left = await mustRun('sh', ['-c', `ps -eo args | grep -F ${world.folder} | grep -v grep || true`]);
      assert.equal(left.trim(), '', 'nothing is left behind');
      assert.ok(!existsSync(join(world.baseDir, 'master.pid')));
    } finally {
      await runRoost(world, ['stop', '-c', world.configFile]);
      world.remove();
    }
  });

  it('keeps the old configuration when the new one is broken, and says so', async () => {
    const world = await makeWorld();
    try {
      assert.equal((await runRoost(world, ['-c', world.configFile])).code, 0);
      await (await until('a login', () => ImapClient.login(world.ports.imap, 'anna').catch(() => undefined))).logout();
      await mustRun('sh', ['-c', `echo 'mail_locatoin = maildir:~/Other' >>${world.configFile}`]);
      const reloaded = await runRoost(world, ['reload', '-c', world.configFile]);
      assert.notEqual(reloaded.code, 0);
      assert.match(reloaded.stderr, /dovecot\.conf.*mail_locatoin|mail_locatoin.*did you mean/is);
      await (await ImapClient.login(world.ports.imap, 'anna')).logout();
      await mustRun('sed', ['-i', '$d', world.configFile]);
    } finally {
      await runRoost(world, ['stop', '-c', world.configFile]);
      world.remove();
    }
  });
});
