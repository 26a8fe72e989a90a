// One configuration file, one set of mail folders, two servers that can be started on them: Debian's Dovecot and Roost.
//
// Started as root a world is what an installed server is (login and auth with their own users, mail as one `vmail` uid); a world of a normal
// user runs everything as that user: the one who runs the suite, or for root an unprivileged uid without an account of its own.

import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { testCertificate } from '../../service-kit/test-certificate.js';
import { freePorts } from '../../support/free-port.js';

export const portNames = ['imap', 'imaps', 'pop3', 'pop3s', 'lmtp', 'smtp'] as const;
export type PortName = (typeof portNames)[number];
export type Ports = Readonly<Record<PortName, number>>;

export const password = 'secret';
export const users = ['anna', 'berta', 'carla'] as const;

/** Owner of the mail in a root world; needs no account. */
const vmailUid = 20_001;

export interface WorldOptions {
  readonly as?: 'root' | 'user';
  /** More configuration at the end. */
  readonly extra?: string;
  /** Settings at the beginning. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Only Roost knows it: gives it a listener for SMTP. */
  readonly smtp?: boolean;
  /** Mail of another world is shared, with another base_dir and other ports. */
  readonly mailOf?: World;
}

export interface World {
  readonly folder: string;
  readonly configFile: string;
  readonly ports: Ports;
  readonly baseDir: string;
  readonly isRoot: boolean;
  /** Who starts the servers; undefined: whoever runs the suite. */
  readonly runAs: { readonly uid: number; readonly gid: number } | undefined;
  /** Who owns the mail. */
  readonly mailUid: number;
  readonly mailGid: number;
  home(user: string): string;
  maildir(user: string): string;
  /** A folder that belongs to the owner of the mail, for clients. */
  makeFolder(name: string): string;
  remove(): void;
}

/** @throws Error when a root world is asked for without root */
export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const isSuperuser = process.getuid?.() === 0;
  const isRoot = (options.as ?? (isSuperuser ? 'root' : 'user')) === 'root';
  if (isRoot && !isSuperuser) throw new Error('this test needs root');
  const runAs = isSuperuser && !isRoot ? nobody() : undefined;
  const mailUid = isRoot ? vmailUid : (runAs?.uid ?? process.getuid?.() ?? 0);
  const mailGid = isRoot ? vmailUid : (runAs?.gid ?? process.getgid?.() ?? 0);
  const folder = mkdtempSync(join(tmpdir(), 'roost-interop-'));
  chmodSync(folder, 0o755);
  const own = (path: string): string => {
    if (isSuperuser) chownSync(path, mailUid, mailGid);
    return path;
  };
  const makeFolder = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return own(path);
  };
  if (!isRoot) own(folder);
  const mail = options.mailOf === undefined ? makeFolder('mail') : join(options.mailOf.folder, 'mail');
  if (options.mailOf === undefined) for (const user of users) makeFolder(`mail/${user}`);
  const ports = freePorts(portNames);
  const configFile = join(folder, 'dovecot.conf');
  const write = (name: string, text: string, mode: number): void => {
    writeFileSync(join(folder, name), text, { mode });
    if (!isRoot) own(join(folder, name));
  };
  write('users', users.map((user) => `${user}:{PLAIN}${password}\n`).join(''), 0o644);
  write('cert.pem', testCertificate.cert, 0o644);
  write('key.pem', testCertificate.key, 0o600);
  const world: World = {
    folder,
    configFile,
    ports,
    baseDir: join(folder, 'run'),
    isRoot,
    runAs,
    mailUid,
    mailGid,
    home: (user) => join(mail, user),
    maildir: (user) => join(mail, user, 'Maildir'),
    makeFolder,
    remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }),
  };
  write('dovecot.conf', configuration(world, mail, options), 0o644);
  return world;
}

/** The mail of one user as it is now, for another test to start from. */
export function copyMail(world: World, user: string, to: World, toUser: string): void {
  cpSync(world.home(user), to.home(toUser), { recursive: true, preserveTimestamps: true });
}

function nobody(): { readonly uid: number; readonly gid: number } {
  const [, , uid, gid] = readFileSync('/etc/passwd', 'utf8').match(/^(nobody):[^:]*:(\d+):(\d+):/m) ?? [];
  return { uid: Number(uid ?? 65_534), gid: Number(gid ?? 65_534) };
}

function groupName(gid: number): string {
  return new RegExp(`^([^:]+):[^:]*:${gid}:`, 'm').exec(readFileSync('/etc/group', 'utf8'))?.[1] ?? String(gid);
}

function configuration(world: World, mail: string, options: WorldOptions): string {
  const { folder, ports, isRoot } = world;
  const inet = (name: PortName): string =>
    `  inet_listener ${name} {\n    address = 127.0.0.1\n    port = ${ports[name]}${/s$/.test(name) ? '\n    ssl = yes' : ''}\n  }\n`;
  // A server without root cannot change its root directory or its user.
  const account = world.runAs === undefined ? undefined : 'nobody';
  const self = account ?? (isRoot ? '' : userInfo().username);
  const unprivileged = isRoot
    ? ''
    : `default_internal_user = ${self}\ndefault_internal_group = ${groupName(world.mailGid)}\ndefault_login_user = ${self}\n`;
  const noChroot = isRoot ? '' : '  chroot =\n';
  return `# A private server of Dovecot 2.3, ports above 1024.
base_dir = ${join(folder, 'run')}
state_dir = ${join(folder, 'state')}
instance_name = interop
protocols = imap pop3 lmtp${options.smtp === true ? ' smtp' : ''}
listen = 127.0.0.1
log_path = ${join(folder, 'server.log')}
${unprivileged}${Object.entries(options.settings ?? {})
  .map(([key, value]) => `${key} = ${value}\n`)
  .join('')}
ssl = yes
ssl_cert = <${join(folder, 'cert.pem')}
ssl_key = <${join(folder, 'key.pem')}
ssl_min_protocol = TLSv1.2

auth_mechanisms = plain login
auth_username_format = %Ln
auth_cache_size = 1M
disable_plaintext_auth = no
first_valid_uid = 1

mail_location = maildir:~/Maildir
mail_fsync = never

namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    special_use = \\Drafts
    auto = subscribe
  }
  mailbox Sent {
    special_use = \\Sent
    auto = subscribe
  }
  mailbox Trash {
    special_use = \\Trash
    auto = create
  }
  mailbox Junk {
    special_use = \\Junk
  }
}

passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%n ${join(folder, 'users')}
}
userdb {
  driver = static
  args = uid=${world.mailUid} gid=${world.mailGid} home=${mail}/%n
}

service imap-login {
${noChroot}${inet('imap')}${inet('imaps')}  service_count = 0
  client_limit = 200
  process_min_avail = 1
}
service pop3-login {
${noChroot}${inet('pop3')}${inet('pop3s')}  service_count = 0
  client_limit = 200
}
service imap {
  process_limit = 64
  vsz_limit = 1G
}
service pop3 {
  process_limit = 16
}
service lmtp {
${inet('lmtp')}  unix_listener lmtp {
    mode = 0666
  }
  process_limit = 8
}
${options.smtp === true ? `service smtp {\n${inet('smtp')}}\n` : ''}service anvil {
${noChroot}  client_limit = 2000
}
service stats {
${noChroot}  client_limit = 2000
}
service auth {
  client_limit = 2000
  unix_listener auth-client {
    mode = 0666
  }
}

protocol imap {
  mail_max_userip_connections = 100
  imap_capability = +XINTEROP
  mail_plugins = $mail_plugins mail_log notify
}
protocol pop3 {
  mail_max_userip_connections = 20
  pop3_uidl_format = %08Xu%08Xv
}
protocol lmtp {
  postmaster_address = postmaster@localhost
  lmtp_save_to_detail_mailbox = no
}

plugin {
  mail_log_events = delete undelete expunge copy mailbox_delete mailbox_rename
  mail_log_fields = uid box msgid size
}
${options.extra ?? ''}`;
}
