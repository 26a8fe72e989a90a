// Dovecot and Roost run from the same configuration text, so that neither gets settings the other has not.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../support/free-port.js';
import { certificate } from './certificate.js';
import {
  mailOwner,
  makeFolder,
  type Peer,
  type PeerOptions,
  type Protocol,
  password,
  spawnServer,
  stopServer,
  userName,
  waitForPorts,
} from './peer.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const protocols: readonly Protocol[] = ['imap', 'imaps', 'pop3', 'lmtp', 'smtp'];

type Ports = Readonly<Record<Protocol, number>>;

function ssha256(text: string): string {
  const salt = randomBytes(8);
  return `{SSHA256}${Buffer.concat([createHash('sha256').update(text).update(salt).digest(), salt]).toString('base64')}`;
}

function configuration(name: 'roost' | 'dovecot', options: PeerOptions, ports: Ports): string {
  const { folder, mode } = options;
  const owner = mailOwner();
  const isRoot = process.getuid?.() === 0;
  const runsAs = isRoot
    ? ''
    : `default_internal_user = ${owner.user}\ndefault_internal_group = ${owner.group}\ndefault_login_user = ${owner.user}\n`;
  const login =
    mode === 'security'
      ? 'service_count = 1\n  process_min_avail = 20\n  process_limit = 2000'
      : 'service_count = 0\n  process_min_avail = 2\n  client_limit = 4000\n  process_limit = 4\n  vsz_limit = 1G';
  // Dovecot's imap processes serve one client at a time; reusing them is its fastest mode. Roost's dense mode serves many in one.
  const mail =
    mode === 'security'
      ? 'service_count = 1\n  client_limit = 1\n  process_min_avail = 10\n  process_limit = 6000'
      : name === 'dovecot'
        ? 'service_count = 0\n  client_limit = 1\n  process_min_avail = 2\n  process_limit = 6000'
        : 'service_count = 0\n  client_limit = 4000\n  process_min_avail = 2\n  process_limit = 2\n  vsz_limit = 2G';
  const direct = mode === 'direct' && name === 'roost';
  const inet = (listener: string, port: number, ssl: boolean): string =>
    `inet_listener ${listener} {\n    address = 127.0.0.1\n    port = ${port}${ssl ? '\n    ssl = yes' : ''}\n  }`;
  const imapListeners = `${inet('imap', ports.imap, false)}\n  ${inet('imaps', ports.imaps, true)}`;
  const closed = 'inet_listener imap {\n    port = 0\n  }\n  inet_listener imaps {\n    port = 0\n  }';
  return `${runsAs}base_dir = ${join(folder, 'run')}
state_dir = ${join(folder, 'state')}
instance_name = bench-${name}
protocols = imap pop3 lmtp${name === 'roost' ? ' smtp' : ''}
listen = 127.0.0.1
log_path = ${join(folder, 'server.log')}
ssl = yes
ssl_cert = <${join(folder, 'cert.pem')}
ssl_key = <${join(folder, 'key.pem')}
disable_plaintext_auth = no
first_valid_uid = 1
mail_uid = ${owner.user}
mail_gid = ${owner.group}
mail_location = maildir:${join(folder, 'mail')}/%u/Maildir
mail_fsync = ${options.fsync}
auth_cache_size = 10M
auth_username_format = %Ln
default_vsz_limit = 1G
passdb {
  driver = passwd-file
  args = ${join(folder, 'users')}
}
userdb {
  driver = passwd-file
  args = ${join(folder, 'users')}
}
namespace inbox {
  inbox = yes
}
service imap-login {
  ${direct ? closed : imapListeners}
  ${login}
}
service pop3-login {
  ${inet('pop3', ports.pop3, false)}
  inet_listener pop3s {
    port = 0
  }
  ${login}
}
service imap {
  ${direct ? imapListeners : ''}
  ${mail}
${name === 'dovecot' && isRoot ? '  unix_listener imap-master {\n    user = dovecot\n  }\n' : ''}}
service pop3 {
  ${mail}
}
service lmtp {
  ${inet('lmtp', ports.lmtp, false)}
  process_min_avail = ${name === 'dovecot' ? 8 : 2}
  ${name === 'roost' ? 'client_limit = 100\n  process_limit = 2' : 'process_limit = 200'}
}
${name === 'roost' ? `service smtp {\n  ${inet('smtp', ports.smtp, false)}\n  process_min_avail = 2\n  process_limit = 2\n}\n` : ''}service auth {
  client_limit = 20000
}
service anvil {
  client_limit = 20000
}
service stats {
  client_limit = 20000
}
protocol imap {
  mail_max_userip_connections = 0
${options.hibernateAfter === undefined ? '' : `  imap_hibernate_timeout = ${options.hibernateAfter}\n`}}
protocol pop3 {
  mail_max_userip_connections = 0
}
${options.extra ?? ''}
`;
}

/** Path of the programs, undefined when not installed. */
export function dovecotBinary(): string | undefined {
  return ['/usr/sbin/dovecot', '/usr/local/sbin/dovecot'].find(existsSync);
}

export async function startMailServer(name: 'roost' | 'dovecot', options: PeerOptions): Promise<Peer> {
  const { folder } = options;
  const owner = mailOwner();
  const ports: Ports = freePorts(protocols);
  for (const sub of ['run', 'state']) makeFolder(join(folder, sub));
  makeFolder(join(folder, 'mail'), owner);
  for (let index = 0; index < options.users; index++) makeFolder(join(folder, 'mail', userName(index)), owner);
  writeFileSync(join(folder, 'cert.pem'), certificate().cert);
  writeFileSync(join(folder, 'key.pem'), certificate().key, { mode: 0o600 });
  const hash = ssha256(password);
  const lines = Array.from(
    { length: options.users },
    (_, index) => `${userName(index)}:${hash}:${owner.uid}:${owner.gid}::${join(folder, 'mail', userName(index))}::`,
  );
  writeFileSync(join(folder, 'users'), `${lines.join('\n')}\n`, { mode: 0o644 });
  writeFileSync(join(folder, 'server.conf'), configuration(name, options, ports));
  const binary = name === 'dovecot' ? (dovecotBinary() ?? 'dovecot') : process.execPath;
  const args =
    name === 'dovecot'
      ? ['-F', '-c', join(folder, 'server.conf')]
      : [join(root, 'dist', 'bin', 'roost.cjs'), '-F', '-c', join(folder, 'server.conf')];
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const start = (): ReturnType<typeof spawnServer> => spawnServer(binary, args, { cwd: folder, env });
  // Dovecot's master waits 6 s for its processes; its mail is thrown away in any case.
  const patienceMs = name === 'dovecot' ? 300 : undefined;
  let running = start();
  const log = (): string =>
    `${running.output()}\n${existsSync(join(folder, 'server.log')) ? readFileSync(join(folder, 'server.log'), 'utf8').slice(-5_000) : ''}`;
  const wanted = protocols.filter((protocol) => name === 'roost' || protocol !== 'smtp');
  const whenReady = async (): Promise<void> => {
    try {
      await waitForPorts(
        wanted.map((protocol) => ports[protocol]),
        running.child,
        log,
      );
    } catch (error) {
      await stopServer(running.child, patienceMs);
      throw error;
    }
  };
  await whenReady();
  return {
    name,
    version:
      name === 'dovecot'
        ? `Dovecot ${execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim()}`
        : `Roost ${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}`,
    get pid() {
      return running.child.pid ?? 0;
    },
    endpoint: (protocol) => ({ host: '127.0.0.1', port: ports[protocol], tls: protocol === 'imaps' }),
    maildir: (user) => join(folder, 'mail', user, 'Maildir'),
    stop: () => stopServer(running.child, patienceMs),
    async restart() {
      await stopServer(running.child, patienceMs);
      running = start();
      await whenReady();
    },
  };
}
