// The program itself, with its real roles, in processes of its own.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { askMaster } from '#ipc/master-client.js';
import { prepareFolder } from '#services/master/dev/files.js';
import { freePort } from '../support/free-port.js';
import { patienceMs } from '../support/patience.js';
import { isAlive, until } from './master-world.js';

const checkout = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const program = join(checkout, 'dist', 'bin', 'roost.cjs');

class Server {
  readonly folder = mkdtempSync(join(tmpdir(), 'roost-server-'));
  readonly baseDir = join(this.folder, 'run');
  readonly configPath = join(this.folder, 'roost.conf');
  readonly imapPort = freePort();
  readonly smtpPort = freePort();
  output = '';
  exitCode: number | undefined;
  process: ChildProcess | undefined;

  constructor() {
    // As root its processes run as other users, who must get here.
    chmodSync(this.folder, 0o755);
    mkdirSync(join(this.folder, 'mail'), { mode: 0o777 });
    chmodSync(join(this.folder, 'mail'), 0o777);
    writeFileSync(join(this.folder, 'users'), 'anna:{PLAIN}secret\n');
    this.writeConfig('');
  }

  writeConfig(more: string): void {
    const text = `
base_dir = ${this.baseDir}
protocols = imap smtp
listen = 127.0.0.1
ssl = no
log_path = /dev/stderr
busy_max_lag = 0
passdb {
  driver = passwd-file
  args = ${this.folder}/users
}
userdb {
  driver = static
  args = uid=nobody gid=65534 home=${this.folder}/mail/%u
}
mail_location = maildir:~/Maildir
service imap-login {
  inet_listener imap {
    port = ${this.imapPort}
  }
}
service smtp {
  inet_listener smtp {
    port = ${this.smtpPort}
  }
}
${more}
`;
    writeFileSync(this.configPath, text);
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [program, '-F', '-c', this.configPath], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.process = child;
    child.stderr.on('data', (chunk: Buffer) => {
      this.output += chunk.toString();
    });
    child.on('exit', (code) => {
      this.exitCode = code ?? -1;
    });
    await until(
      () => /starting up/.test(this.output) || this.exitCode !== undefined,
      () => `start: ${this.output}`,
    );
  }

  run(...args: string[]): { readonly status: number | null; readonly stderr: string } {
    return spawnSync(process.execPath, [program, ...args, '-c', this.configPath], { encoding: 'utf8' });
  }

  async pids(): Promise<number[]> {
    const reply = await askMaster(this.baseDir, { command: 'process-status', services: [] }, { timeoutMs: patienceMs });
    assert.ok(reply.ok);
    return reply.processes?.map(({ pid }) => pid) ?? [];
  }

  async ended(): Promise<void> {
    await until(
      () => this.exitCode !== undefined,
      () => `end: ${this.output}`,
    );
  }

  async close(): Promise<void> {
    if (this.process !== undefined && this.exitCode === undefined) {
      this.process.kill('SIGKILL');
      await this.ended();
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Sends lines one after the other, each when the answer to the one before came; returns everything received. */
async function converse(port: number, steps: readonly (readonly [RegExp, string])[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  let isOver = false;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isOver = true;
  });
  for (const [expected, line] of steps) {
    await until(
      () => expected.test(received) || isOver,
      () => `${expected}: ${received}`,
    );
    socket.write(`${line}\r\n`);
  }
  await until(
    () => isOver,
    () => `end: ${received}`,
  );
  return received;
}

function imapSession(port: number): Promise<string> {
  return converse(port, [
    [/^\* OK /, 'a LOGIN anna secret'],
    [/^a OK /m, 'b SELECT INBOX'],
    [/^b OK /m, 'c LOGOUT'],
  ]);
}

async function withServer(work: (server: Server) => Promise<void>): Promise<void> {
  const server = new Server();
  try {
    await server.start();
    await work(server);
  } catch (error) {
    throw new Error(server.output, { cause: error });
  } finally {
    await server.close();
  }
}

describe('roost -F', () => {
  it('serves mail, and at SIGTERM ends with 0 and leaves nothing', async () => {
    await withServer(async (server) => {
      const mail = await converse(server.smtpPort, [
        [/^220 /, 'EHLO test'],
        [/^250 /m, 'MAIL FROM:<bob@example.test>'],
        [/^250 .*\r\n250 /ms, 'RCPT TO:<anna@localhost>'],
        [/250 2\.1\.5/, 'DATA'],
        [/^354 /m, 'Subject: hello\r\n\r\nhello\r\n.'],
        [/^354 .*\n250 /ms, 'QUIT'],
      ]);
      assert.match(mail, /^221 /m);
      assert.match(await imapSession(server.imapPort), /^\* 1 EXISTS\r$/m);
      const pids = await server.pids();
      assert.ok(pids.length >= 5);
      server.process?.kill('SIGTERM');
      await server.ended();
      assert.equal(server.exitCode, 0);
      assert.deepEqual(pids.filter(isAlive), []);
      assert.deepEqual(
        ['master', 'master.pid', 'srv', 'anvil', 'auth-master', 'login/login'].filter((name) => existsSync(join(server.baseDir, name))),
        [],
      );
    });
  });

  it('serves the next session after a SIGKILL of each of its processes', async () => {
    await withServer(async (server) => {
      await imapSession(server.imapPort);
      for (const pid of await server.pids()) {
        process.kill(pid, 'SIGKILL');
        await until(
          () => new RegExp(`child ${pid} killed with signal 9`).test(server.output),
          () => `the end of ${pid}: ${server.output}`,
        );
        assert.match(await imapSession(server.imapPort), /^b OK /m);
      }
    });
  });

  it('takes its processes along when it is killed itself, and starts again over what is left', async () => {
    await withServer(async (server) => {
      const pids = await server.pids();
      server.process?.kill('SIGKILL');
      await until(
        () => !pids.some(isAlive),
        () => 'the end of the children',
      );
      server.exitCode = undefined;
      server.output = '';
      await server.start();
      assert.match(await imapSession(server.imapPort), /^b OK /m);
    });
  });

  it('refuses to run twice on one base_dir', async () => {
    await withServer(async (server) => {
      const second = server.run('-F');
      assert.equal(second.status, 89);
      assert.match(second.stderr, new RegExp(`Roost is already running with PID ${server.process?.pid} \\(read from .*master.pid\\)`));
    });
  });

  it('takes a new configuration at reload; a broken one leaves the old one running and fails the command', async () => {
    await withServer(async (server) => {
      server.writeConfig('login_greeting = Good morning.');
      assert.deepEqual(server.run('reload').status, 0);
      assert.match(await imapSession(server.imapPort), /^\* OK .*Good morning/);
      server.writeConfig('login_greting = x');
      const broken = server.run('reload');
      assert.equal(broken.status, 89);
      assert.match(broken.stderr, /roost\.conf:\d+: .*login_greting/);
      assert.match(await imapSession(server.imapPort), /^\* OK .*Good morning/);
    });
  });
});

describe('roost without -F', () => {
  it('returns when the server accepts connections; roost stop ends it', async () => {
    const server = new Server();
    try {
      const started = server.run();
      assert.equal(started.status, 0, started.stderr);
      assert.match(await imapSession(server.imapPort), /^b OK /m);
      const stopped = server.run('stop');
      assert.equal(stopped.status, 0, stopped.stderr);
      assert.equal(existsSync(join(server.baseDir, 'master.pid')), false);
      assert.match(readFileSync(join(server.baseDir, 'roost.log'), 'utf8'), /starting up for imap, smtp/);
    } finally {
      await server.close();
    }
  });

  it('fails with the reason when the server cannot start', async () => {
    const server = new Server();
    try {
      server.writeConfig('listen = 192.0.2.1');
      const started = server.run();
      assert.equal(started.status, 89);
      assert.match(started.stderr, /this machine has no address 192\.0\.2\.1 \(setting: /);
      assert.match(server.run('stop').stderr, /Roost is not running/);
    } finally {
      await server.close();
    }
  });
});

describe('roost dev', () => {
  it('runs in ./var of a folder that others may not enter, shows what to try, and ends at Ctrl-C without waiting for clients', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-dev-'));
    try {
      for (const name of ['dist', 'node_modules', 'package.json']) symlinkSync(join(checkout, name), join(folder, name));
      const settings = join(folder, 'var');
      mkdirSync(settings);
      const { configPath } = await prepareFolder(settings, settings);
      const text = readFileSync(configPath, 'utf8');
      const ports = new Map([...text.matchAll(/port = (\d+)/g)].map(([, port = '']) => [port, freePort()]));
      writeFileSync(
        configPath,
        text.replace(/port = (\d+)/g, (_, port: string) => `port = ${ports.get(port)}`),
      );
      const child = spawn(process.execPath, [program, 'dev'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
      const exit = new Promise<number | null>((resolve) => child.on('exit', resolve));
      try {
        await until(
          () => /Ctrl-C/.test(output) || child.exitCode !== null,
          () => output,
        );
        assert.match(output, new RegExp(`IMAPS +127.0.0.1:${ports.get('1993')} +curl -k -u demo:demo`));
        const session = await converse(ports.get('1143') ?? 0, [
          [/^\* OK /, 'a LOGIN demo demo'],
          [/^a OK /m, 'b SELECT INBOX'],
          [/^b OK /m, 'c LOGOUT'],
        ]);
        assert.match(session, /^\* 1 EXISTS\r$/m);
      } finally {
        const startedAt = performance.now();
        child.kill('SIGINT');
        assert.equal(await exit, 0, output);
        assert.ok(performance.now() - startedAt < patienceMs / 2);
      }
      assert.doesNotMatch(output, /Error|sent SIG/);
      assert.equal(existsSync(join(settings, 'run', 'master.pid')), false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
