// What `npm start` finds or makes in ./var: a configuration to play with, two users, a certificate, a welcome message.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeSelfSigned } from './self-signed.js';

export const demoUsers = ['demo', 'demo2'] as const;
export const demoPassword = 'demo';
const certificateDays = 3650;
const certificateNames = ['localhost', '127.0.0.1', '::1'] as const;

/**
 * Makes what is missing; what is there stays as it is.
 * @param folder where the files are written
 * @param realFolder the same as everybody else names it, for the paths in the configuration; both are absolute
 */
export async function prepareFolder(
  folder: string,
  realFolder: string,
): Promise<{ readonly configPath: string; readonly made: readonly string[] }> {
  const made: string[] = [];
  const make = (name: string, contents: () => string, mode: number): void => {
    const path = join(folder, name);
    if (existsSync(path)) return;
    writeFileSync(path, contents(), { mode });
    made.push(name);
  };
  mkdirSync(join(folder, 'tls'), { recursive: true, mode: 0o755 });
  mkdirSync(join(folder, 'mail'), { recursive: true, mode: 0o700 });
  if (!existsSync(join(folder, 'tls', 'key.pem'))) {
    const { certificate, key } = makeSelfSigned(certificateNames, certificateDays, new Date());
    writeFileSync(join(folder, 'tls', 'cert.pem'), certificate, { mode: 0o644 });
    writeFileSync(join(folder, 'tls', 'key.pem'), key, { mode: 0o600 });
    made.push('tls/cert.pem', 'tls/key.pem');
  }
  if (!existsSync(join(folder, 'users'))) {
    const lines = await Promise.all(demoUsers.map(async (user) => `${user}:{ARGON2ID}${await hashPassword(demoPassword)}::::::\n`));
    make('users', () => lines.join(''), 0o600);
  }
  moveWithCheckout(join(folder, 'roost.conf'), realFolder);
  make('roost.conf', () => configText(realFolder), 0o644);
  for (const user of demoUsers) if (welcome(join(folder, 'mail', user, 'Maildir'), user)) made.push(`mail/${user}`);
  return { configPath: join(folder, 'roost.conf'), made };
}

async function hashPassword(password: string): Promise<string> {
  // Only here, once: the package is native and takes a while to load.
  const { default: argon2 } = await import('argon2');
  return await argon2.hash(password, { type: argon2.argon2id });
}

const markerPattern = /^# Made for (.*)$/m;

/** The paths in the configuration are absolute; when the checkout was moved or copied, they follow it. */
function moveWithCheckout(path: string, folder: string): void {
  if (!existsSync(path)) return;
  const text = readFileSync(path, 'utf8');
  const old = markerPattern.exec(text)?.[1];
  if (old !== undefined && old !== folder) writeFileSync(path, text.replaceAll(old, folder));
}

function configText(folder: string): string {
  return `# Roost's development instance (npm start). Made once; change what you like, it is not overwritten.
# Made for ${folder}

base_dir = ${folder}/run
protocols = imap pop3 smtp lmtp
listen = 127.0.0.1
log_path = /dev/stderr
instance_name = roost-dev

# A self-signed certificate for localhost, 127.0.0.1 and ::1, made at the first start.
ssl = yes
ssl_cert = <${folder}/tls/cert.pem
ssl_key = <${folder}/tls/key.pem

# Users demo and demo2 with the password demo; "roostadm pw" makes further hashes.
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = scheme=ARGON2ID ${folder}/users
}
userdb {
  driver = passwd-file
  args = ${folder}/users
  default_fields = home=${folder}/mail/%n
}

mail_location = maildir:~/Maildir
# demo@localhost is the user demo; mail to other domains is refused.
delivery_local_domains = localhost

namespace inbox {
  inbox = yes
  mailbox Drafts {
    auto = subscribe
    special_use = \\Drafts
  }
  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
  }
  mailbox Junk {
    auto = subscribe
    special_use = \\Junk
  }
}

service imap-login {
  inet_listener imap {
    port = 1143
  }
  inet_listener imaps {
    port = 1993
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = 1110
  }
  inet_listener pop3s {
    port = 1995
    ssl = yes
  }
}
service smtp {
  inet_listener smtp {
    port = 1025
  }
}
service lmtp {
  inet_listener lmtp {
    port = 1024
  }
}
`;
}

/**
 * A first message, for a mailbox that does not exist yet. Written like any delivery: tmp, then rename by being complete before anybody
 * looks; nobody does before the server has started.
 * @returns whether it was written
 */
function welcome(maildir: string, user: string): boolean {
  if (existsSync(maildir) && readdirSync(maildir).length > 0) return false;
  for (const name of ['cur', 'new', 'tmp']) mkdirSync(join(maildir, name), { recursive: true, mode: 0o700 });
  const now = new Date();
  const text = welcomeText(user, now);
  const unique = `${Math.floor(now.getTime() / 1000)}.M${now.getMilliseconds() * 1000}P${process.pid}.${hostname()}`;
  const octets = Buffer.byteLength(text);
  writeFileSync(join(maildir, 'new', `${unique},S=${octets},W=${octets}`), text, { mode: 0o600 });
  return true;
}

function welcomeText(user: string, now: Date): string {
  const lines = [
    'Return-Path: <postmaster@localhost>',
    'From: Roost <postmaster@localhost>',
    `To: ${user}@localhost`,
    'Subject: Welcome to Roost',
    `Date: ${now.toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <${randomBytes(12).toString('hex')}@localhost>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    '',
    'Your mail server runs. This message lies in a Maildir below var/mail.',
    '',
    `Sending mail to ${user}@localhost through SMTP (port 1025) or LMTP (port 1024)`,
    'puts it beside this one; any mail program can read it through IMAP or POP3.',
    'Users, ports and everything else are in var/roost.conf.',
    '',
  ];
  return lines.join('\r\n');
}
