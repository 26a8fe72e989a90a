// Postfix and Roost together: Postfix delivers through Roost's LMTP service, and checks passwords with Roost's auth service.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { accountState } from './support/imap.js';
import { makeMessage } from './support/mail.js';
import { cleanEnvironment, killGroup, mustRun, requireProgram, runProgram } from './support/programs.js';
import { until } from './support/servers.js';
import { type Session, startSession } from './support/session.js';
import { password } from './support/world.js';

interface RunningPostfix {
  readonly port: number;
  log(): string;
}

/** A private instance: smtpd with SASL, and everything for example.test goes to Roost. */
async function startPostfix(test: TestContext, { world }: Session, transport: string): Promise<RunningPostfix> {
  for (const program of ['postfix', 'postconf', 'swaks']) requireProgram(program);
  const folder = join(world.folder, 'postfix');
  const config = join(folder, 'etc');
  for (const sub of ['', 'etc', 'spool', 'data']) mkdirSync(join(folder, sub), { mode: 0o755 });
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  probe.close();
  await once(probe, 'close');
  writeFileSync(
    join(config, 'main.cf'),
    `compatibility_level = 3.6
queue_directory = ${join(folder, 'spool')}
data_directory = ${join(folder, 'data')}
maillog_file = ${join(folder, 'log')}
maillog_file_prefixes = ${folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.test
mydestination =
mynetworks =
alias_maps =
virtual_mailbox_domains = localhost
virtual_mailbox_maps =
virtual_transport = ${transport}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = ${join(world.baseDir, 'auth-client')}
smtpd_tls_cert_file = ${join(world.folder, 'cert.pem')}
smtpd_tls_key_file = ${join(world.folder, 'key.pem')}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
lmtp_host_lookup = native
disable_dns_lookups = yes
minimal_backoff_time = 1s
queue_run_delay = 2s
`,
  );
  writeFileSync(
    join(config, 'master.cf'),
    `127.0.0.1:${port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr fifo n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
error unix - - n - - error
retry unix - - n - - error
`,
  );
  await mustRun('postfix', ['-c', config, 'set-permissions']);
  const child = spawn('postfix', ['-c', config, 'start-fg'], { cwd: folder, env: cleanEnvironment(), stdio: 'ignore', detached: true });
  const ended = once(child, 'exit');
  test.after(async () => {
    await runProgram('postfix', ['-c', config, 'stop']);
    killGroup(child, 'SIGKILL');
    await ended;
  });
  const log = (): string => {
    try {
      return readFileSync(join(folder, 'log'), 'utf8');
    } catch {
      return '';
    }
  };
  await until('Postfix takes connections', async () => {
    const { code } = await runProgram('swaks', ['--server', `127.0.0.1:${port}`, '--quit-after', 'BANNER', '--silent', '3']);
    return code === 0 ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${log()}`);
  });
  return { port, log };
}

function submit(postfix: RunningPostfix, to: string, message: string, secret = password): ReturnType<typeof runProgram> {
  return runProgram(
    'swaks',
    [
      ...['--server', `127.0.0.1:${postfix.port}`, '--tls', '--auth', 'PLAIN', '--auth-user', 'anna', '--auth-password', secret],
      ...['--from', 'anna@localhost', '--to', to, '--ehlo', 'client.example.test', '--data', '-'],
    ],
    { input: message.replaceAll('\r\n', '\n') },
  );
}

describe('Postfix with Roost', { skip: process.getuid?.() === 0 ? false : 'only root can start Postfix' }, () => {
  for (const kind of ['inet', 'unix'] as const) {
    it(`logs users in through Roost's auth service and delivers through its LMTP service over ${kind}`, async (test) => {
      const session = await startSession(test);
      const { world, server } = session;
      chmodSync(world.baseDir, 0o755);
      const transport = kind === 'inet' ? `lmtp:inet:127.0.0.1:${world.ports.lmtp}` : `lmtp:unix:${join(world.baseDir, 'lmtp')}`;
      const postfix = await startPostfix(test, session, transport);
      const sent = await submit(
        postfix,
        'berta@localhost,carla@localhost',
        makeMessage({ subject: `through ${kind}`, body: '.dot\nline' }),
      );
      assert.equal(sent.code, 0, `${sent.stdout}${sent.stderr}\n${postfix.log()}`);
      for (const user of ['berta', 'carla']) {
        const message = await until(
          `${user} has the message`,
          async () => (await accountState(world.ports.imap, user)).mailboxes['INBOX']?.messages[0],
        ).catch((error: unknown) => {
          throw new Error(`${String(error)}\n${postfix.log()}\n${server.log()}`);
        });
        assert.ok(message.size > 300);
      }
      assert.match(postfix.log(), /sasl_method=PLAIN, sasl_username=anna/);
      assert.match(postfix.log(), /status=sent \(250 2\.0\.0/);
      assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
    });
  }

  it('refuses a wrong password, and bounces a user whom Roost does not know', async (test) => {
    const session = await startSession(test);
    chmodSync(session.world.baseDir, 0o755);
    const postfix = await startPostfix(test, session, `lmtp:inet:127.0.0.1:${session.world.ports.lmtp}`);
    const refused = await submit(postfix, 'berta@localhost', makeMessage({ subject: 'no' }), 'wrong');
    assert.equal(refused.code, 28, 'swaks: authentication failed');
    assert.match(refused.stdout + refused.stderr, /535 5\.7\.8/);
    const login = await submit(postfix, 'berta@localhost,nobody-here@localhost', makeMessage({ subject: 'yes' }));
    assert.equal(login.code, 0);
    // A static userdb knows everybody; that the user exists is what the passdb says.
    await until('the unknown user is refused', () =>
      /to=<nobody-here@localhost>.*status=bounced.*550 5\.1\.1/.test(postfix.log()) ? true : undefined,
    );
    await until(
      'the message is there',
      async () => (await accountState(session.world.ports.imap, 'berta')).mailboxes['INBOX']?.messages[0],
    );
  });
});
