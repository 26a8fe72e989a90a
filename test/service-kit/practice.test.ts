import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FakeMaster, until } from './fake-master.js';

const longMs = 60_000;

describe('A process that practises', () => {
  let master: FakeMaster;
  const folders = (): string[] => readdirSync(master.folder).filter((name) => name.startsWith('roost-rehearsal-'));
  beforeEach(() => {
    master = new FakeMaster();
  });
  afterEach(() => master.close());

  it('plays all its sessions while nobody is connected, of which nobody hears', async () => {
    const listener = master.listen();
    const toy = master.start({ practises: true }, [listener]);
    await until(() => /Practised 40 sessions/.test(toy.log), 'practice', longMs);
    assert.equal(toy.statuses.length, 1);
    assert.equal(toy.status?.served, 0);
    const client = master.connect(listener.port);
    await client.expect(/hello.*\n/);
    client.send('one\n');
    await client.expect(/^\d+ one\n$/);
    assert.deepEqual(folders(), []);
    assert.doesNotMatch(toy.log, /toy.end/);
  });

  it('stops for a client, and goes on when the client has left', async () => {
    const listener = master.listen();
    const toy = master.start({ practises: true }, [listener]);
    await until(() => folders().length > 0, 'practice has begun', longMs);
    const client = master.connect(listener.port);
    await client.expect(/hello.*\n/);
    await until(() => folders().length === 0, 'practice is broken off');
    client.send('one\n');
    await client.expect(/^\d+ one\n$/);
    assert.doesNotMatch(toy.log, /Practised|more slowly/);
    client.send('quit\n');
    await client.expect(/bye/);
    await until(() => /Practised 40 sessions/.test(toy.log), 'practice', longMs);
    assert.equal(toy.status?.served, 1);
  });

  it('removes what one that was killed has left, and leaves that of one that lives', async () => {
    const first = master.start({ practises: true }, [master.listen()]);
    // Before it tells whose it is, the folder of one that is killed stays for an hour.
    const isOwned = (name: string): boolean => readdirSync(join(master.folder, name)).includes('process');
    await until(() => folders().some(isOwned), 'practice has begun', longMs);
    const left = folders();
    first.process.kill('SIGKILL');
    await first.exited();
    assert.deepEqual(folders(), left);
    const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
    const kept: string[] = [];
    for (const [name, owner] of [
      ['alive', `${namespace}-${process.pid}`],
      ['elsewhere', `1-${first.pid}`],
      ['unknown', ''],
    ] as const) {
      const folder = join(master.folder, `roost-rehearsal-${name}`);
      mkdirSync(folder);
      if (owner !== '') symlinkSync(owner, join(folder, 'process'));
      kept.push(`roost-rehearsal-${name}`);
    }
    const second = master.start({ practises: true });
    await until(() => /Practised 40 sessions/.test(second.log), 'practice', longMs);
    assert.deepEqual(folders().sort(), kept);
  });

  it('leaves nothing behind when it is stopped meanwhile', async () => {
    const toy = master.start({ practises: true }, [master.listen()]);
    await until(() => folders().length > 0, 'practice has begun', longMs);
    toy.send({ kind: 'stop', clients: 'end', reason: 'test' });
    await toy.exited();
    assert.equal(toy.exitCode, 0);
    assert.deepEqual(folders(), []);
    assert.doesNotMatch(toy.log, /more slowly/);
  });

  it('serves all the same when practice fails', async () => {
    const listener = master.listen();
    const login = master.start({}, [listener]);
    const mail = master.start({ role: 'mail', practises: true });
    master.route(login, () => mail);
    await until(() => /will be served more slowly: the rehearsal ended after quit/.test(mail.log), 'the fault is told', longMs);
    assert.deepEqual(folders(), []);
    const client = master.connect(listener.port);
    await client.expect(/hello.*\n/);
    client.send('LOGIN anna\n');
    await client.expect(/welcome anna/);
    assert.equal(mail.log.split('more slowly').length, 2);
  });

  it('does not, unless the master says so', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    const other = master.start({ practises: true });
    await until(() => /Practised/.test(other.log), 'practice of another', longMs);
    assert.doesNotMatch(toy.log, /Practised/);
  });
});
