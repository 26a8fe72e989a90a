// Haraka as the rival in taking messages, with a queue plugin that writes each message durably into Maildir. It is measured where the npm package
// is installed: `npm install --prefix FOLDER Haraka` and ROOST_BENCH_HARAKA=FOLDER.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../support/free-port.js';
import { makeFolder, type Peer, type PeerOptions, spawnServer, stopServer, userName, waitForPorts } from './peer.js';

export function harakaFolder(): string | undefined {
  const prefix = process.env['ROOST_BENCH_HARAKA'];
  if (prefix === undefined) return undefined;
  const folder = join(prefix, 'node_modules', 'Haraka');
  return existsSync(join(folder, 'bin', 'haraka')) ? folder : undefined;
}

/** Writes tmp/, fsyncs, renames into new/, fsyncs the directory: what a durable delivery costs. */
const queuePlugin = `'use strict';
const fs = require('node:fs/promises');
const path = require('node:path');
let counter = 0;
exports.register = function () { this.base = process.env.BENCH_MAIL; };
exports.hook_rcpt = (next) => next(OK);
exports.hook_queue = function (next, connection) {
  const { transaction } = connection;
  transaction.message_stream.get_data(async (data) => {
    try {
      for (const rcpt of transaction.rcpt_to) {
        const box = path.join(this.base, rcpt.user, 'Maildir');
        const name = Date.now() + '.P' + process.pid + 'Q' + (++counter) + '.bench';
        const file = await fs.open(path.join(box, 'tmp', name), 'wx', 0o600);
        await file.writeFile(data);
        await file.sync();
        await file.close();
        await fs.rename(path.join(box, 'tmp', name), path.join(box, 'new', name));
        const folder = await fs.open(path.join(box, 'new'), 'r');
        await folder.sync();
        await folder.close();
      }
      next(OK);
    } catch (error) { next(DENYSOFT, String(error)); }
  });
};
`;

export async function startHaraka(options: PeerOptions): Promise<Peer> {
  const { folder } = options;
  const haraka = harakaFolder() ?? '';
  const port = freePort();
  for (const sub of ['config', 'plugins', 'queue']) makeFolder(join(folder, sub));
  for (let index = 0; index < options.users; index++)
    for (const sub of ['cur', 'new', 'tmp']) makeFolder(join(folder, 'mail', userName(index), 'Maildir', sub));
  writeFileSync(join(folder, 'config', 'smtp.ini'), `listen=127.0.0.1:${port}\nnodes=2\n`);
  writeFileSync(join(folder, 'config', 'plugins'), 'maildir_queue\n');
  writeFileSync(join(folder, 'config', 'loglevel'), 'WARN\n');
  writeFileSync(join(folder, 'config', 'me'), 'bench.test\n');
  writeFileSync(join(folder, 'config', 'host_list'), 'bench.test\n');
  writeFileSync(join(folder, 'plugins', 'maildir_queue.js'), queuePlugin);
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const { child, output } = spawnServer(process.execPath, [join(haraka, 'bin', 'haraka'), '-c', folder], {
    cwd: folder,
    env: { ...env, BENCH_MAIL: join(folder, 'mail'), NODE_CLUSTER_SCHED_POLICY: 'none' },
  });
  try {
    await waitForPorts([port], child, output);
  } catch (error) {
    await stopServer(child);
    throw error;
  }
  return {
    name: 'haraka',
    version: `Haraka ${JSON.parse(readFileSync(join(haraka, 'package.json'), 'utf8')).version}`,
    pid: child.pid ?? 0,
    endpoint: () => ({ host: '127.0.0.1', port, tls: false }),
    maildir: (user) => join(folder, 'mail', user, 'Maildir'),
    stop: () => stopServer(child),
  };
}
