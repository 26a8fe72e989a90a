import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createFixture, type Fixture, type FixtureOptions, type Wire } from './fixture.js';

const hello = 'VERSION\t1\t1\n';
const seconds = 1_000;

async function master(fixture: Fixture): Promise<Wire> {
  const wire = fixture.master();
  await wire.take(2);
  wire.send(hello);
  return wire;
}

async function ask(wire: Wire, user: string, parameters = 'service=lmtp\troost_lease'): Promise<string> {
  wire.send(`USER\t1\t${user}\t${parameters}\n`);
  return (await wire.take()).join();
}

/** @returns the lease that bob gets */
async function leaseFor(t: TestContext, options: FixtureOptions): Promise<string | undefined> {
  const answer = await ask(await master(createFixture(t, options)), 'bob');
  assert.match(answer, /^USER\t1\tbob\t/);
  return /\troost_lease=(\d+)$/.exec(answer)?.[1];
}

const bob = 'bob:{PLAIN}x:1:2::/h::\n';
const staticAll = { driver: 'static', args: 'uid=1 gid=2 home=/h/%u allow_all_users=yes' };
const passwdFile = { driver: 'passwd-file', args: 'PATH' };

describe('a lease of auth', () => {
  it('lasts until auth would look at the passwd-file again', async (t) => {
    const fixture = createFixture(t, { users: bob });
    const wire = await master(fixture);
    assert.equal(await ask(wire, 'bob'), 'USER\t1\tbob\tuid=1\tgid=2\thome=/h\troost_lease=1000');
    fixture.clock.nowMs += 400;
    assert.equal(await ask(wire, 'bob'), 'USER\t1\tbob\tuid=1\tgid=2\thome=/h\troost_lease=600');
    fixture.clock.nowMs += 600;
    assert.match(await ask(wire, 'bob'), /roost_lease=1000$/);
  });

  it('is for those who ask for one; others see what they always saw', async (t) => {
    const wire = await master(createFixture(t, { users: bob }));
    assert.equal(await ask(wire, 'bob', 'service=lmtp'), 'USER\t1\tbob\tuid=1\tgid=2\thome=/h');
  });

  for (const [what, options, expected] of [
    ['10 s where nothing is read', { userdbs: [staticAll] }, '10000'],
    ['no longer than that of the passdb that tells who exists', { userdbs: [{ driver: 'static', args: 'uid=1' }] }, '1000'],
    [
      '10 s where the passdb knows everybody',
      { passdbs: [{ driver: 'static', args: 'nopassword=y' }], userdbs: [{ driver: 'static', args: 'uid=1' }] },
      '10000',
    ],
    [
      'no longer than that of a database that did not know the user',
      { users: 'ann:x:1:1::/a::\n', userdbs: [passwdFile, staticAll] },
      '1000',
    ],
    ['none where a file was missing', { userdbs: [{ driver: 'passwd-file', args: 'PATH.%u' }, staticAll] }, '0'],
    ['none where a database failed', { userdbs: [{ driver: 'passwd-file', args: 'PATH.gone' }, staticAll] }, '0'],
    ['that of /etc/passwd where the uid is a name', { userdbs: [{ driver: 'static', args: 'uid=root allow_all_users=yes' }] }, '1000'],
    ['that of /etc/group where the gid is a name', { userdbs: [{ driver: 'static', args: 'gid=root allow_all_users=yes' }] }, '1000'],
    ['none without a cache', { settings: { auth_cache_size: 0 } }, '0'],
    ['none with a cache that keeps nothing', { settings: { auth_cache_ttl: 0 } }, '0'],
    ["auth's, whatever a field of the user says", { users: `${bob.trimEnd()}userdb_roost_lease=9999\n` }, '1000'],
  ] as const) {
    it(`is ${what}`, async (t) => assert.equal(await leaseFor(t, options), expected));
  }

  it('is not given for unknown users', async (t) => {
    const wire = await master(createFixture(t, { users: bob }));
    assert.equal(await ask(wire, 'nobody'), 'NOTFOUND\t1');
  });

  it('is not given with a failure', async (t) => {
    const wire = await master(createFixture(t, { userdbs: [{ driver: 'passwd-file', args: 'PATH.gone' }] }));
    assert.match(await ask(wire, 'bob'), /^FAIL\t1\treason=(?!.*roost_lease)/);
  });
});

describe('a flush of the auth cache', () => {
  for (const users of ['', '\tbob', '\tann']) {
    it(`ends all leases, and is answered when that was heard: CACHE-FLUSH${users}`, async (t) => {
      const fixture = createFixture(t, { users: `${bob}ann:x:3:4::/a::\n` });
      const [first, second, other, admin] = [await master(fixture), await master(fixture), await master(fixture), await master(fixture)];
      await ask(first, 'bob');
      await ask(second, 'bob');
      await ask(other, 'bob', 'service=lmtp');
      admin.send(`CACHE-FLUSH\t7${users}\n`);
      assert.deepEqual(await first.take(), ['ROOST-LEASES-VOID\t1']);
      assert.deepEqual(await second.take(), ['ROOST-LEASES-VOID\t1']);
      first.send('ROOST-LEASES-VOID\t1\n');
      await new Promise(setImmediate);
      assert.deepEqual(admin.drain(), []);
      second.send('ROOST-LEASES-VOID\t1\n');
      assert.deepEqual(await admin.take(), ['OK\t7\t0']);
      assert.deepEqual(other.drain(), []);
    });
  }

  it('does not wait for those who are gone', async (t) => {
    const fixture = createFixture(t, { users: bob });
    const [holder, admin] = [await master(fixture), await master(fixture)];
    await ask(holder, 'bob');
    admin.send('CACHE-FLUSH\t7\n');
    await holder.take();
    holder.close();
    assert.deepEqual(await admin.take(), ['OK\t7\t0']);
    admin.send('CACHE-FLUSH\t8\n');
    assert.deepEqual(await admin.take(), ['OK\t8\t0']);
  });

  it('waits no longer than leases last', async (t) => {
    const fixture = createFixture(t, { users: bob });
    const [holder, admin] = [await master(fixture), await master(fixture)];
    await ask(holder, 'bob');
    admin.send('CACHE-FLUSH\t7\n');
    await holder.take();
    const [timer] = fixture.timers;
    assert.equal(timer?.ms, 10 * seconds);
    timer.then();
    assert.deepEqual(await admin.take(), ['OK\t7\t0']);
  });

  it('is not answered by what a process says of an earlier one', async (t) => {
    const fixture = createFixture(t, { users: bob });
    const [holder, admin] = [await master(fixture), await master(fixture)];
    await ask(holder, 'bob');
    admin.send('CACHE-FLUSH\t7\n');
    await holder.take();
    await ask(holder, 'bob');
    admin.send('CACHE-FLUSH\t8\n');
    assert.deepEqual(await holder.take(), ['ROOST-LEASES-VOID\t2']);
    holder.send('ROOST-LEASES-VOID\t1\n');
    await new Promise(setImmediate);
    assert.deepEqual(admin.drain(), ['OK\t7\t0']);
    holder.send('ROOST-LEASES-VOID\t2\n');
    assert.deepEqual(await admin.take(), ['OK\t8\t0']);
  });

  it('leaves no lease to what was looked up before', async (t) => {
    const fixture = createFixture(t, { users: bob });
    const [holder, admin] = [await master(fixture), await master(fixture)];
    // The first look at the file is under way.
    holder.send('USER\t1\tbob\tservice=lmtp\troost_lease\n');
    admin.send('CACHE-FLUSH\t7\n');
    assert.match((await holder.take()).join(), /^USER\t1\tbob\t.*\troost_lease=0$/);
    assert.match(await ask(holder, 'bob'), /roost_lease=1000$/);
  });

  it('is followed by what the passwd-file says then', async (t) => {
    const fixture = createFixture(t, { users: bob });
    const wire = await master(fixture);
    assert.match(await ask(wire, 'bob', 'service=lmtp'), /home=\/h$/);
    fixture.rewrite('bob:{PLAIN}x:1:2::/new::\n');
    assert.match(await ask(wire, 'bob', 'service=lmtp'), /home=\/h$/);
    wire.send('CACHE-FLUSH\t7\tbob\n');
    assert.deepEqual(await wire.take(), ['OK\t7\t0']);
    assert.match(await ask(wire, 'bob', 'service=lmtp'), /home=\/new$/);
  });

  it('gives no lease to a connection that has gone while auth looked', async (t) => {
    const fixture = createFixture(t, { users: bob });
    const [holder, admin] = [await master(fixture), await master(fixture)];
    holder.send('USER\t1\tbob\tservice=lmtp\troost_lease\n');
    holder.close();
    await ask(admin, 'bob', 'service=lmtp');
    admin.send('CACHE-FLUSH\t7\n');
    assert.deepEqual(await admin.take(), ['OK\t7\t0']);
  });
});
