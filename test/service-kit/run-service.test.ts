import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FakeMaster, until } from './fake-master.js';

describe('a running service', () => {
  let master: FakeMaster;
  beforeEach(() => {
    master = new FakeMaster();
  });
  afterEach(() => master.close());

  it('reports for duty, serves, and reports its clients', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    await toy.ready();
    assert.deepEqual(toy.status, { kind: 'status', clients: 0, served: 0, isDraining: false, arrived: [], left: [] });
    const client = master.connect(listener.port);
    await client.expect(/hello 127\.0\.0\.1:\d+ secured\n/);
    await toy.clients(1);
    client.send('one\n');
    await client.expect(/^\d+ one\n$/);
    client.send('quit\n');
    await client.expect(/bye/);
    await toy.clients(0);
    assert.equal(toy.status?.served, 1);
  });

  it('never takes a connection past client_limit, and another process takes it', async () => {
    const listener = master.listen();
    const first = master.start({ clientLimit: 2 }, [listener]);
    await first.ready();
    const served = [master.connect(listener.port), master.connect(listener.port)];
    for (const client of served) await client.expect(/hello/);
    const waiting = master.connect(listener.port);
    await until(() => waiting.socket.readyState === 'open', 'the kernel accepts');
    served[0]?.send('still here\n');
    await served[0]?.expect(/still here/);
    assert.equal(waiting.received, '');
    const second = master.start({ clientLimit: 2 }, [listener]);
    await waiting.expect(/hello/);
    await first.clients(2);
    await second.clients(1);
  });

  it('accepts again when a client has gone', async () => {
    const listener = master.listen();
    const toy = master.start({ clientLimit: 1 }, [listener]);
    await toy.ready();
    for (let n = 0; n < 5; n += 1) {
      const client = master.connect(listener.port);
      await client.expect(/hello/);
      client.send('quit\n');
      await client.expect(/bye/);
    }
    await until(() => toy.status?.served === 5, 'five served');
    await toy.clients(0);
  });

  it('serves exactly service_count clients, then drains and exits', async () => {
    const listener = master.listen();
    const toy = master.start({ serviceCount: 3, clientLimit: 3 }, [listener]);
    await toy.ready();
    const clients = Array.from({ length: 6 }, () => master.connect(listener.port));
    await until(() => clients.filter(({ received }) => received.includes('hello')).length === 3, 'three greetings');
    await until(() => toy.status?.isDraining === true, 'draining');
    const served = clients.filter(({ received }) => received.includes('hello'));
    for (const client of served.slice(0, 2)) client.send('quit\n');
    await toy.clients(1);
    served[2]?.send('alive\n');
    await served[2]?.expect(/alive/);
    assert.equal(toy.exitCode, undefined);
    served[2]?.send('quit\n');
    await toy.exited();
    assert.equal(toy.exitCode, 0);
    assert.equal(toy.status?.served, 3);
    assert.match(toy.log, /"event":"toy.end"/);
    assert.equal(clients.filter((client) => !served.includes(client) && client.received !== '').length, 0);
  });

  it('finishes its clients when told to stop, and takes no more', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    await toy.ready();
    const client = master.connect(listener.port);
    await client.expect(/hello/);
    toy.send({ kind: 'stop', clients: 'finish', reason: 'test' });
    await until(() => toy.status?.isDraining === true, 'draining');
    const late = master.connect(listener.port);
    client.send('work\n');
    await client.expect(/work/);
    assert.equal(late.received, '');
    client.send('quit\n');
    await toy.exited();
    assert.equal(toy.exitCode, 0);
  });

  it('says goodbye to its clients when they shall end', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    await toy.ready();
    const client = master.connect(listener.port);
    await client.expect(/hello/);
    toy.send({ kind: 'stop', clients: 'end', reason: 'test' });
    await client.expect(/stop shutdown/);
    await toy.exited();
    assert.equal(toy.exitCode, 0);
  });

  it('cuts off clients that do not end in time', async () => {
    const listener = master.listen();
    const toy = master.start({ stopGraceMs: 100 }, [listener]);
    await toy.ready();
    const client = master.connect(listener.port);
    await client.expect(/hello/);
    client.socket.pause();
    client.send('flood 20000000\n');
    await until(() => client.socket.readableLength > 0, 'the flood has begun');
    toy.send({ kind: 'stop', clients: 'end', reason: 'test' });
    await toy.exited();
    assert.equal(toy.exitCode, 0);
    assert.match(toy.log, /service.clients-left/);
  });

  it('finishes its clients when the master is gone', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    await toy.ready();
    const client = master.connect(listener.port);
    await client.expect(/hello/);
    toy.channel.destroy();
    client.send('work\n');
    await client.expect(/work/);
    client.send('quit\n');
    await toy.exited();
    assert.equal(toy.exitCode, 0);
  });

  it('finishes its clients when nobody reads its log any more', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    await toy.ready();
    const client = master.connect(listener.port);
    await client.expect(/hello/);
    toy.process.stderr?.destroy();
    toy.channel.destroy();
    client.send('work\n');
    await client.expect(/work/);
    client.send('quit\n');
    await toy.exited();
    assert.equal(toy.exitCode, 0);
  });

  it('exits when it is surplus and idle, and says so when it is not', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    await toy.ready();
    const client = master.connect(listener.port);
    await client.expect(/hello/);
    await toy.clients(1);
    toy.send({ kind: 'idle-exit' });
    await until(() => toy.status?.isIdleRefused === true, 'refusal');
    client.send('quit\n');
    await toy.clients(0);
    toy.send({ kind: 'idle-exit' });
    await toy.exited();
    assert.equal(toy.exitCode, 0);
  });

  it('pushes out the oldest client that has not logged in', async () => {
    const listener = master.listen();
    const toy = master.start({ clientLimit: 2 }, [listener]);
    await toy.ready();
    const oldest = master.connect(listener.port);
    await oldest.expect(/hello/);
    const younger = master.connect(listener.port);
    await younger.expect(/hello/);
    toy.send({ kind: 'queue-full' });
    await oldest.expect(/stop queue-full/);
    const next = master.connect(listener.port);
    await next.expect(/hello/);
    assert.equal(younger.hasEnded, false);
  });

  it('shows its state in the process title', async () => {
    const listener = master.listen();
    const toy = master.start({}, [listener]);
    await toy.ready();
    const { readFileSync } = await import('node:fs');
    const title = (): string => readFileSync(`/proc/${toy.pid}/cmdline`, 'latin1');
    await until(() => title().startsWith('roost/toy [idling]'), title());
    const clients = [master.connect(listener.port), master.connect(listener.port)];
    for (const client of clients) await client.expect(/hello/);
    await until(() => title().startsWith('roost/toy [2 pre-login]'), title());
  });

  /** Thrown once the kit is there to catch it. */
  const plantedError = `setInterval(() => { if (process.listenerCount('uncaughtException') > 0) throw new Error('planted') }, 20)`;

  it('ends with code 89 and a log line when the role throws', async () => {
    const toy = master.start({ nodeFlags: ['--import', `data:text/javascript,${encodeURIComponent(plantedError)}`] }, []);
    await toy.exited();
    assert.equal(toy.exitCode, 89);
    assert.match(toy.log, /planted/);
  });
});
