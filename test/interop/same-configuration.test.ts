// A private configuration of Debian's Dovecot 2.3 runs unmodified under both servers, and they do the same with it.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { describe, it } from 'node:test';
import { accountState, ImapClient } from './support/imap.js';
import { deliver, makeMessage } from './support/mail.js';
import { mustRun } from './support/programs.js';
import { runRoost, type ServerName, startServer, until } from './support/servers.js';
import { makeWorld, password, type World } from './support/world.js';

const accounts = process.getuid?.() === 0 ? (['root', 'user'] as const) : (['user'] as const);

/** The same small day of mail through one server. @returns what a client has seen */
async function useServer(name: ServerName, world: World) {
  await using server = await startServer(name, world);
  await deliver(world, 'anna', makeMessage({ subject: 'first' }));
  await deliver(world, 'anna', makeMessage({ subject: 'second', body: 'Gr\xc3\xbc\xc3\x9fe\n.dot\n' }));
  const client = await ImapClient.login(world.ports.imap, 'anna');
  const folders = (await client.ok('LIST "" "*"'))
    .filter((line) => line.startsWith('* LIST'))
    .map((line) => line.replace(/\\HasNoChildren ?/, '').replace(/ (?="|\))/g, ' '))
    .sort();
  await client.append('Sent', '\\Seen', makeMessage({ subject: 'answer' }));
  await client.ok('SELECT INBOX');
  await client.ok('STORE 1 +FLAGS (\\Seen \\Flagged)');
  const capability = (await client.ok('CAPABILITY'))[0] ?? '';
  await client.logout();
  const pop3 = await mustRun('curl', ['-sS', '--max-time', '20', '-u', `anna:${password}`, `pop3://127.0.0.1:${world.ports.pop3}/`]);
  const secure = await mustRun('curl', [
    '-sSk',
    '--max-time',
    '20',
    '-u',
    `anna:${password}`,
    `imaps://127.0.0.1:${world.ports.imaps}/INBOX;UID=1`,
  ]);
  const state = await accountState(world.ports.imap, 'anna');
  const log = server.log();
  assert.equal(await server.stop(), 0);
  return { folders, capability, pop3: pop3.trim().split('\r\n').length, secure: secure.length > 0, state, log };
}

for (const as of accounts) {
  describe(`One configuration of Dovecot 2.3 under both servers, started as ${as === 'root' ? 'root with a vmail uid' : 'a normal user'}`, () => {
    it('serves the same folders, messages and flags', async () => {
      const dovecotWorld = await makeWorld({ as });
      const roostWorld = await makeWorld({ as });
      try {
        const dovecot = await useServer('dovecot', dovecotWorld);
        const roost = await useServer('roost', roostWorld);
        assert.deepEqual(roost.folders, dovecot.folders);
        assert.equal(roost.pop3, dovecot.pop3);
        assert.ok(roost.secure && dovecot.secure);
        assert.match(dovecot.capability, /XINTEROP/);
        assert.match(roost.capability, /XINTEROP/);
        const shape = ({ state }: typeof roost) =>
          Object.entries(state.mailboxes).map(([name, { uidNext, messages }]) => [
            name,
            uidNext,
            messages.map(({ uid, flags }) => [uid, flags]),
          ]);
        assert.deepEqual(shape(roost), shape(dovecot));
        assert.deepEqual(roost.state.subscribed, dovecot.state.subscribed);
        assert.equal(statSync(roostWorld.maildir('anna')).uid, roostWorld.mailUid);
        const warnings = roost.log.split('\n').filter((line) => /not implemented|no effect|not supported/i.test(line));
        assert.equal(warnings.length, 1, `one line names what is not implemented:\n${roost.log}`);
        assert.match(warnings[0] ?? '', /mail_log/);
      } finally {
        dovecotWorld.remove();
        roostWorld.remove();
      }
    });

    it('is started in the background, reloaded and stopped by roost -c FILE', async () => {
      const world = await makeWorld({ as, settings: { shutdown_clients: 'no' } });
      try {
        const started = await runRoost(world, ['-c', world.configFile]);
        assert.equal(started.code, 0, started.stderr);
        const client = await until('a login', () => ImapClient.login(world.ports.imap, 'anna').catch(() => undefined));
        const reloaded = await runRoost(world, ['reload', '-c', world.configFile]);
        assert.equal(reloaded.code, 0, reloaded.stderr);
        await client.ok('NOOP');
        await (await ImapClient.login(world.ports.imap, 'anna')).logout();
        await client.logout();
        const stopped = await runRoost(world, ['stop', '-c', world.configFile]);
        assert.equal(stopped.code, 0, stopped.stderr);
        await until('the port is closed', () =>
          ImapClient.connect(world.ports.imap).then(
            (other) => void other.close(),
            () => true,
          ),
        );
        assert.notEqual((await runRoost(world, ['stop', '-c', world.configFile])).code, 0, 'nothing runs any more');
      } finally {
        await runRoost(world, ['stop', '-c', world.configFile]);
        world.remove();
      }
    });
  });
}
