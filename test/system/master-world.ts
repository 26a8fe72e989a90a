// A real master in the test's process, with toy roles (test/service-kit/toy-role.ts) as its children.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { LogFiles } from '#log/files.js';
import { createLogger } from '#log/logger.js';
import { type LoadedPlan, Master } from '#services/master/master.js';
import type { ListenerPlan, ServerPlan, ServicePlan } from '#services/master/plan.js';
import type { PoolLimits } from '#services/master/schedule/decisions.js';
import { freePort } from '../support/free-port.js';
import { patienceMs } from '../support/patience.js';

const toyUrl = new URL('../service-kit/toy-role.js', import.meta.url).href;

/** Tries what a login process must not be able to do, and says how it went. */
const confinedRole = `
const attempts = {
  write: () => require('node:fs').writeFileSync('/tmp/roost-confined', ''),
  read: () => require('node:fs').readFileSync('/etc/passwd'),
  spawn: () => require('node:child_process').spawnSync('true'),
  thread: () => new (require('node:worker_threads').Worker)('1', { eval: true }),
  code: () => require('node:fs').readFileSync(__filename),
};
for (const [name, attempt] of Object.entries(attempts)) {
  try { attempt(); console.error(name + ': done'); } catch (error) { console.error(name + ': ' + error.code); }
}
`;

export interface ServiceChange {
  readonly limits?: Partial<PoolLimits>;
  readonly plan?: Partial<ServicePlan>;
}

export const defaultLimits: PoolLimits = {
  processLimit: 4,
  clientLimit: 10,
  serviceCount: 0,
  processMinAvail: 0,
  idleKillMs: 60_000,
  isLogin: false,
  defaultKey: '',
};

export class MasterWorld {
  readonly folder = mkdtempSync(join(tmpdir(), 'roost-master-'));
  readonly baseDir = join(this.folder, 'run');
  readonly rolesFolder = join(this.folder, 'roles');
  readonly sockets = new ListeningSockets();
  readonly master: Master;
  readonly port: number;
  readonly #clients: Client[] = [];
  readonly #logFiles: LogFiles;
  /** What the next reload finds. */
  next: LoadedPlan;

  private constructor(port: number, services: { readonly toy: ServiceChange; readonly mail: ServiceChange }, change: Partial<ServerPlan>) {
    this.port = port;
    mkdirSync(this.rolesFolder);
    writeFileSync(join(this.rolesFolder, 'toy.cjs'), `import(${JSON.stringify(toyUrl)});\n`);
    writeFileSync(join(this.rolesFolder, 'mail.cjs'), `process.argv.push('mail');\nimport(${JSON.stringify(toyUrl)});\n`);
    writeFileSync(join(this.rolesFolder, 'broken.cjs'), "console.error('cannot go on');\nprocess.exit(7);\n");
    writeFileSync(join(this.rolesFolder, 'confined.cjs'), confinedRole);
    const plan = this.plan(services, change);
    this.next = { kind: 'plan', plan, warnings: [] };
    this.#logFiles = new LogFiles(plan.log, false);
    const lines = this.#logFiles.streamFor('master: ', process.pid);
    this.master = new Master({
      plan,
      load: () => Promise.resolve(this.next),
      rolesFolder: this.rolesFolder,
      sockets: this.sockets,
      log: createLogger({ prefix: 'master: ', debug: true, destination: { write: (line: string) => lines.push(Buffer.from(line)) } }),
      logFiles: this.#logFiles,
      isRoot: false,
      notify: () => undefined,
    });
  }

  static async start(
    services: { readonly toy?: ServiceChange; readonly mail?: ServiceChange } = {},
    change: Partial<ServerPlan> = {},
  ): Promise<MasterWorld> {
    const world = new MasterWorld(freePort(), { toy: services.toy ?? {}, mail: services.mail ?? {} }, change);
    try {
      await world.master.start();
    } catch (error) {
      rmSync(world.folder, { recursive: true });
      throw error;
    }
    return world;
  }

  plan(services: { readonly toy: ServiceChange; readonly mail: ServiceChange }, change: Partial<ServerPlan> = {}): ServerPlan {
    const path = join(this.folder, 'log');
    return {
      configPath: join(this.folder, 'roost.conf'),
      baseDir: this.baseDir,
      instanceName: 'roost',
      protocols: ['toy'],
      services: [service('toy', services.toy, [inet(this.port)]), service('mail', services.mail, [])],
      log: { errorPath: path, infoPath: path, debugPath: path, format: 'json', timestamp: '', syslog: { facility: 'mail', socket: '' } },
      ticketKeyIntervalMs: 0,
      shutdownClients: true,
      stopGraceMs: 3_000,
      isVerboseTitle: false,
      hasTemplates: true,
      hasPractice: false,
      isDebug: true,
      importEnvironment: [],
      loginIdentity: undefined,
      mailIdentity: undefined,
      validIds: { firstUid: 500, lastUid: 0, firstGid: 1, lastGid: 0 },
      explanations: [],
      notices: [],
      problems: [],
      ...change,
    };
  }

  connect(): Client {
    const client = new Client(this.port);
    this.#clients.push(client);
    return client;
  }

  /** A connection that was greeted. */
  async greeted(): Promise<Client> {
    const client = this.connect();
    await client.until(/^hello /m);
    return client;
  }

  /** A session in a mail process. */
  async login(user: string): Promise<{ readonly client: Client; readonly pid: number }> {
    const client = await this.greeted();
    client.send(`LOGIN ${user}`);
    const [, pid] = await client.until(/^welcome \S+ to (\d+)/m);
    return { client, pid: Number(pid) };
  }

  pids(name: string): number[] {
    return this.master.allPools.filter((pool) => pool.name === name).flatMap(({ children }) => children.map(({ child }) => child.pid));
  }

  /** Until so many processes of a service are ready. */
  async ready(name: string, count: number): Promise<void> {
    const readyCount = (): number => {
      const pool = this.master.allPools.find((candidate) => candidate.name === name);
      return pool?.scheduler.processes.filter(({ phase }) => phase === 'ready').length ?? 0;
    };
    await until(
      () => readyCount() === count,
      () => `${count} ready processes, there are ${readyCount()}`,
    );
  }

  log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  async logged(pattern: RegExp): Promise<void> {
    await until(
      () => pattern.test(this.log()),
      () => `${pattern} in the log:\n${this.log()}`,
    );
  }

  files(): string[] {
    return ['master', 'master.pid', 'srv'].filter((name) => existsSync(join(this.baseDir, name)));
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.socket.destroy();
    await this.master.stop('test over');
    this.#logFiles.close();
    rmSync(this.folder, { recursive: true });
  }
}

export class Client {
  readonly socket: Socket;
  received = '';
  hasEnded = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString();
    });
    this.socket.on('error', () => {
      this.hasEnded = true;
    });
    this.socket.on('close', () => {
      this.hasEnded = true;
    });
  }

  send(line: string): void {
    this.socket.write(`${line}\n`);
  }

  async until(pattern: RegExp): Promise<RegExpExecArray> {
    await until(
      () => pattern.test(this.received) || this.hasEnded,
      () => `${pattern}, got ${JSON.stringify(this.received)}`,
    );
    const match = pattern.exec(this.received);
    if (match === null) throw new Error(`ended without ${pattern}: ${JSON.stringify(this.received)}`);
    return match;
  }

  async ended(): Promise<void> {
    await until(
      () => this.hasEnded,
      () => `end of connection, got ${JSON.stringify(this.received)}`,
    );
  }

  /** Pid of the process that answers. */
  async pid(): Promise<number> {
    this.received = '';
    this.send('who');
    return Number((await this.until(/^(\d+) who/m))[1]);
  }
}

export async function until(condition: () => boolean, what: () => string, timeoutMs = patienceMs): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in ${timeoutMs} ms: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A port that nobody has at this moment. */
function service(name: 'toy' | 'mail', change: ServiceChange, listeners: readonly ListenerPlan[]): ServicePlan {
  return {
    name,
    role: name,
    limits: { ...defaultLimits, isLogin: name === 'toy', ...change.limits },
    isLogin: name === 'toy',
    takesHandoffs: name === 'mail',
    isPerUser: false,
    identity: undefined,
    serves: 'all',
    senders: undefined,
    extraGroups: [],
    isConfined: false,
    vszLimitBytes: 0,
    threadPoolSize: undefined,
    listeners,
    refusal: 'imap',
    settingsFor: ({ settings }) => ({ version: 1, groups: settings, kinds: [], layers: [{ filter: {}, values: {}, sections: [] }] }),
    survivesReload: false,
    ...change.plan,
  };
}

function inet(port: number): ListenerPlan {
  return {
    key: `inet:127.0.0.1:${port}`,
    kind: 'inet',
    name: 'toy',
    isTls: false,
    isHaproxy: false,
    isReusePort: false,
    address: '127.0.0.1',
    port,
    backlog: 64,
    keepAliveMs: 0,
    mode: 0,
    uid: undefined,
    gid: undefined,
    setting: 'service toy { inet_listener toy { port } }',
  };
}
