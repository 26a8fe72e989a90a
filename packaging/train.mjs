// Runs a server of the bundles just built, serves one client of each protocol, and keeps what V8 compiled on the way beside each bundle
// (NAME.code.cache, read by role-loader.cjs). A process that serves one client then finds its code compiled, up to the client's log-out.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The whole of it; a build does not wait longer. */
const timeoutMs = 30_000;
/** An ordinary user for a build by root: services do not serve mail as root. */
const nobody = 65_534;
/** Length of the first line of the code, which names its contents. */
export const markBytes = 48;

const message =
  'From: a@example.com\r\nTo: b@example.com\r\nSubject: training\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nText.\r\n';

const imap = [
  ['a CAPABILITY', /^a OK/m],
  ['b LOGIN anna secret', /^b OK/m],
  ['c ID ("name" "trainer")', /^c OK/m],
  ['d LIST "" *', /^d OK/m],
  ['e STATUS INBOX (MESSAGES UNSEEN UIDNEXT)', /^e OK/m],
  ['f SELECT INBOX', /^f OK/m],
  ['g UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)', /^g OK/m],
  ['h UID FETCH 1 BODY.PEEK[]', /^h OK/m],
  ['i UID STORE 1 +FLAGS.SILENT (\\Seen)', /^i OK/m],
  ['j UID SEARCH UNSEEN', /^j OK/m],
  ['k NOOP', /^k OK/m],
  ['l IDLE', /^\+/m],
  ['DONE', /^l OK/m],
  ['m CLOSE', /^m OK/m],
  ['n LOGOUT', /^n OK/m],
];
const pop3 = [
  ['CAPA', /^\.\r$/m],
  ['USER anna', /^\+OK/],
  ['PASS secret', /^\+OK/],
  ['STAT', /^\+OK/],
  ['UIDL', /^\.\r$/m],
  ['LIST', /^\.\r$/m],
  ['RETR 1', /^\.\r$/m],
  ['QUIT', /^\+OK/],
];
const delivery = (hello) => [
  [`${hello} trainer.example`, /^250 /m],
  ['MAIL FROM:<a@example.com>', /^250 /m],
  ['RCPT TO:<anna>', /^250 /m],
  ['DATA', /^354 /m],
  [`${message}.`, /^250 /m],
  ['QUIT', /^221 /m],
];

/** @param {number} port sends each line when the reply to the one before has come */
function converse(port, lines) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let received = '';
    let expected = /^(\* OK|\+OK|220)/;
    const left = [...lines];
    socket.on('error', reject);
    socket.on('close', () => (left.length === 0 ? resolve() : reject(new Error(`the server closed after ${received}`))));
    socket.on('data', (octets) => {
      received += octets.toString('latin1');
      if (!expected.test(received)) return;
      const next = left.shift();
      if (next === undefined) return;
      received = '';
      expected = next[1];
      socket.write(`${next[0]}\r\n`);
    });
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function configuration(folder, uid, ports) {
  const strict = (name, port) =>
    `service ${name} {\n  service_count = 1\n  inet_listener ${name.replace('-login', '')} {\n    port = ${port}\n  }\n${name.endsWith('-login') ? `  inet_listener ${name.replace('-login', 's')} {\n    port = 0\n  }\n` : ''}}\n`;
  return `base_dir = ${folder}/run
protocols = imap pop3 lmtp smtp
process_templates = no
listen = 127.0.0.1
log_path = ${folder}/log
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:${folder}/mail/%u
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=${uid} gid=${uid} home=${folder}/mail/%u
}
${strict('imap-login', ports[0])}${strict('pop3-login', ports[1])}${strict('lmtp', ports[2])}${strict('smtp', ports[3])}
service imap {
  service_count = 1
}
service pop3 {
  service_count = 1
}
service imap-hibernate {
  process_min_avail = 1
}
service deliver {
  process_min_avail = 1
}
`;
}

async function whenListening(port, deadline) {
  for (;;) {
    const isThere = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('connect', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (isThere) return;
    if (Date.now() > deadline) throw new Error('the server does not start');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Takes what the roles send; the last one of a role counts that has served a client. */
function takeCompiled(path, onCompiled) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const parts = [];
    socket.on('data', (part) => parts.push(part));
    socket.on('error', () => undefined);
    socket.on('end', () => {
      const whole = Buffer.concat(parts);
      const end = whole.indexOf(10);
      onCompiled(whole.toString('latin1', 0, end), whole.subarray(end + 1));
      socket.end();
    });
  });
  return new Promise((resolve) => server.listen(path, () => resolve(server)));
}

/**
 * Writes the caches of `stale` roles. What cannot be trained starts slower, and works.
 * @param {string} root folder with dist and node_modules
 * @param {string[]} stale names of roles
 * @returns {Promise<string | undefined>} why it failed
 */
export async function train(root, stale) {
  const folder = mkdtempSync(join(tmpdir(), 'roost-train-'));
  const roles = join(folder, 'dist', 'roles');
  const best = new Map();
  const deadline = Date.now() + timeoutMs;
  let child;
  let server;
  try {
    const isRoot = process.getuid?.() === 0;
    const uid = isRoot ? nobody : (process.getuid?.() ?? 0);
    cpSync(join(root, 'dist', 'roles'), roles, { recursive: true, filter: (path) => !path.endsWith('.cache') });
    cpSync(join(root, 'dist', 'bin'), join(folder, 'dist', 'bin'), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const loader = readFileSync(join(root, 'packaging', 'training-loader.cjs'));
    for (const name of stale) writeFileSync(join(roles, `${name}.cjs`), loader);
    for (const name of ['run', 'state', 'mail']) {
      mkdirSync(join(folder, name), { mode: 0o755 });
      if (isRoot) chownSync(join(folder, name), uid, uid);
    }
    if (isRoot) chownSync(folder, uid, uid);
    server = await takeCompiled(join(roles, 'trainer'), (name, octets) => {
      if ((best.get(name)?.length ?? 0) < octets.length) best.set(name, octets);
    });
    chmodSync(join(roles, 'trainer'), 0o777);
    const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    writeFileSync(join(folder, 'server.conf'), configuration(folder, uid, ports));
    const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...env } = process.env;
    child = spawn(process.execPath, [join(folder, 'dist', 'bin', 'roost.cjs'), '-F', '-c', join(folder, 'server.conf')], {
      cwd: folder,
      env,
      stdio: 'ignore',
      ...(isRoot ? { uid, gid: uid } : {}),
    });
    child.on('error', () => undefined);
    const ended = new Promise((resolve) => child.on('exit', resolve));
    await Promise.race([serve(ports, deadline), ended.then(() => Promise.reject(new Error('the server ended'))), late(deadline)]);
    child.kill('SIGTERM');
    await Promise.race([ended, late(deadline)]);
    for (const name of stale) if (!best.has(name)) await startAlone(join(roles, `${name}.cjs`), deadline);
    for (const name of stale) keep(root, name, best.get(name));
    const missing = stale.filter((name) => !best.has(name));
    return missing.length === 0 ? undefined : `nothing came from ${missing.join(', ')}`;
  } catch (error) {
    return error.message;
  } finally {
    child?.kill('SIGKILL');
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function serve(ports, deadline) {
  await whenListening(ports[3], deadline);
  await converse(ports[2], delivery('LHLO'));
  await converse(ports[3], delivery('EHLO'));
  await Promise.all([converse(ports[0], imap), converse(ports[1], pop3)]);
}

/** A role that this server does not need (`deliver` runs only below root): up to where it waits for its master. */
async function startAlone(path, deadline) {
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const ended = new Promise((resolve) => child.on('close', resolve));
  child.on('error', () => undefined);
  const control = child.stdio[3];
  control.on('error', () => undefined);
  control.once('data', () => control.destroy());
  await Promise.race([ended, late(deadline)]).finally(() => child.kill('SIGKILL'));
}

function late(deadline) {
  return new Promise((_, reject) => setTimeout(() => reject(new Error('it takes too long')), deadline - Date.now()).unref());
}

function keep(root, name, octets) {
  if (octets === undefined) return;
  const path = join(root, 'dist', 'roles', `${name}.code`);
  const mark = readFileSync(`${path}.js`).subarray(0, markBytes);
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, Buffer.concat([mark, octets]));
  renameSync(temporary, `${path}.cache`);
}
