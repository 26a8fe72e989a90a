// Postfix as the rival in taking messages: a private instance whose virtual transport delivers into Maildir.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../support/free-port.js';
import { mailOwner, makeFolder, type Peer, type PeerOptions, spawnServer, stopServer, userName, waitForPorts } from './peer.js';

export function postfixBinary(): string | undefined {
  return existsSync('/usr/lib/postfix/sbin/master') ? '/usr/sbin/postfix' : undefined;
}

export async function startPostfix(options: PeerOptions): Promise<Peer> {
  const { folder } = options;
  const owner = mailOwner();
  const port = freePort();
  const config = join(folder, 'etc');
  for (const sub of ['etc', 'spool', 'data']) makeFolder(join(folder, sub));
  makeFolder(join(folder, 'mail'), owner);
  for (let index = 0; index < options.users; index++) makeFolder(join(folder, 'mail', userName(index)), owner);
  writeFileSync(
    join(config, 'main.cf'),
    `compatibility_level = 3.6
queue_directory = ${join(folder, 'spool')}
data_directory = ${join(folder, 'data')}
maillog_file = ${join(folder, 'postfix.log')}
maillog_file_prefixes = ${folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
virtual_mailbox_domains = bench.test
virtual_mailbox_base = ${join(folder, 'mail')}
virtual_mailbox_maps = texthash:${join(config, 'mailboxes')}
virtual_uid_maps = static:${owner.uid}
virtual_gid_maps = static:${owner.gid}
virtual_minimum_uid = 1
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
disable_dns_lookups = yes
default_process_limit = 100
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
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
error unix - - n - - error
retry unix - - n - - error
`,
  );
  writeFileSync(
    join(config, 'mailboxes'),
    Array.from({ length: options.users }, (_, index) => `${userName(index)}@bench.test ${userName(index)}/Maildir/\n`).join(''),
  );
  execFileSync('postfix', ['-c', config, 'set-permissions'], { stdio: 'ignore', env: process.env });
  const { child, output } = spawnServer('/usr/sbin/postfix', ['-c', config, 'start-fg'], { cwd: folder });
  try {
    await waitForPorts([port], child, output);
  } catch (error) {
    await stopServer(child);
    throw error;
  }
  return {
    name: 'postfix',
    version: `Postfix ${execFileSync('postconf', ['-h', 'mail_version'], { encoding: 'utf8' }).trim()}`,
    pid: child.pid ?? 0,
    endpoint: () => ({ host: '127.0.0.1', port, tls: false }),
    maildir: (user) => join(folder, 'mail', user, 'Maildir'),
    async stop() {
      try {
        execFileSync('postfix', ['-c', config, 'stop'], { stdio: 'ignore', timeout: 15_000 });
      } finally {
        await stopServer(child);
      }
    },
  };
}
