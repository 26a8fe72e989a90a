// Stands in for the master: starts toy roles as processes, speaks the control channel with them, and gives tests line clients.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FramedChannel } from '#ipc/channel.js';
import type { ChildMessage, InheritedListener, MasterMessage, PrivateSockets, StartMessage, StatusMessage } from '#ipc/control.js';
import { bindDescriptorSocket, closeDescriptor } from '#ipc/handle-pass.js';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { kitSettings } from '#service-kit/settings.js';
import { patienceMs } from '../support/patience.js';

const toyPath = fileURLToPath(new URL('toy-role.js', import.meta.url));

export interface ToyOptions {
  readonly role?: 'toy' | 'mail';
  readonly clientLimit?: number;
  readonly serviceCount?: number;
  readonly settings?: Readonly<Record<string, string>>;
  /** Settings of a local_name block. */
  readonly named?: { readonly name: string; readonly values: Readonly<Record<string, string>> };
  readonly listeners?: readonly Partial<InheritedListener>[];
  readonly stopGraceMs?: number;
  readonly ticketKeys?: Buffer;
  readonly checksTls?: boolean;
  readonly nodeFlags?: readonly string[];
  readonly descriptors?: boolean;
  /** Connections can be handed back to it. */
  readonly takesBack?: boolean;
  readonly practises?: boolean;
}

/** Waits for a condition that other processes bring about. */
export async function until(condition: () => boolean, what: string, timeoutMs = patienceMs): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export class Toy {
  readonly process: ChildProcess;
  readonly channel: FramedChannel;
  readonly messages: ChildMessage[] = [];
  readonly sockets: PrivateSockets | undefined;
  log = '';
  exitCode: number | string | undefined;
  onRoute: ((message: Extract<ChildMessage, { kind: 'route' }>) => MasterMessage) | undefined;

  constructor(child: ChildProcess, control: Socket, sockets: PrivateSockets | undefined) {
    this.process = child;
    this.sockets = sockets;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
    child.on('close', (code, signal) => {
      this.exitCode = code ?? signal ?? 'gone';
    });
    this.channel = new FramedChannel(control, {
      onMessage: (value) => {
        const message = value as ChildMessage;
        this.messages.push(message);
        if (message.kind === 'route' && this.onRoute !== undefined) this.send(this.onRoute(message));
      },
      onClose: () => undefined,
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }
  get statuses(): StatusMessage[] {
    return this.messages.filter((message) => message.kind === 'status');
  }
  get status(): StatusMessage | undefined {
    return this.statuses.at(-1);
  }
  send(message: MasterMessage): void {
    this.channel.send(message);
  }
  ready(): Promise<void> {
    return until(() => this.statuses.length > 0 || this.exitCode !== undefined, `first status; log: ${this.log}`);
  }
  clients(count: number): Promise<void> {
    return until(() => this.status?.clients === count, `${count} clients, has ${this.status?.clients}`);
  }
  exited(): Promise<void> {
    return until(() => this.exitCode !== undefined, 'exit');
  }
}

/** Listeners and toys of one test; `close` ends all of them. */
export class FakeMaster {
  readonly folder = mkdtempSync(join(tmpdir(), 'roost-kit-'));
  readonly #calls = new ListeningSockets();
  readonly #toys: Toy[] = [];
  readonly #fds: number[] = [];
  readonly clients: LineClient[] = [];

  listen(): { readonly fd: number; readonly port: number } {
    const fd = this.#calls.listenInet('127.0.0.1', 0, { backlog: 64 });
    this.#fds.push(fd);
    return { fd, port: this.#calls.portOf(fd) };
  }

  start(options: ToyOptions, sockets: readonly { readonly fd: number }[] = []): Toy {
    const role = options.role ?? 'toy';
    const own = role === 'mail' || options.takesBack === true ? this.#privateSockets(options.descriptors ?? true) : undefined;
    const inherited = [...sockets.map(({ fd }) => fd), ...(own === undefined ? [] : [own.fd, own.descriptorFd])];
    const child = spawn(process.execPath, [...(options.nodeFlags ?? []), '--no-warnings', toyPath, role], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...inherited],
      env: { TMPDIR: this.folder },
    });
    // As in the real master: otherwise connections to a process that died would wait in a queue nobody reads.
    if (own !== undefined) for (const fd of [own.fd, own.descriptorFd]) closeDescriptor(fd);
    const control = child.stdio[3] as Socket;
    const first = 4 + sockets.length;
    const toy = new Toy(child, control, own);
    this.#toys.push(toy);
    const start: StartMessage = {
      kind: 'start',
      serves: 'all',
      service: role,
      role,
      generation: 1,
      baseDir: this.folder,
      clientLimit: options.clientLimit ?? 100,
      serviceCount: options.serviceCount ?? 0,
      processLimit: 1,
      listeners: sockets.map((_, index) => ({
        fd: 4 + index,
        kind: 'inet',
        name: `toy${index}`,
        isTls: false,
        backlog: 64,
        isHaproxy: false,
        keepAliveMs: 0,
        address: '127.0.0.1',
        port: 0,
        ...options.listeners?.[index],
      })),
      privateSockets: own === undefined ? undefined : { ...own, fd: first, descriptorFd: first + 1 },
      settings: {
        version: 1,
        groups: [...kitSettings.map(({ name }) => name), 'toy'],
        kinds: [],
        layers: [
          { filter: {}, values: options.settings ?? {}, sections: [] },
          ...(options.named === undefined
            ? []
            : [{ filter: { localName: options.named.name }, values: options.named.values, sections: [] }]),
        ],
      },
      sessionKey: own === undefined ? undefined : Buffer.alloc(32, role).toString('base64'),
      tlsTicketKeys: options.ticketKeys?.toString('base64'),
      checksTls: options.checksTls ?? true,
      isDebug: true,
      practises: options.practises ?? false,
      title: `roost/${role}`,
      isVerboseTitle: true,
      stopGraceMs: options.stopGraceMs ?? 5_000,
    };
    toy.send(start);
    return toy;
  }

  /** Routes all hand-offs of `login` to `mail`; each answer holds for `leaseMs`. */
  route(login: Toy, mail: () => Toy, leaseMs?: number): void {
    let ticket = 0;
    login.onRoute = ({ id }) => {
      ticket += 1;
      const { sockets, pid } = mail();
      const paths = { path: sockets?.path ?? '', descriptorPath: sockets?.descriptorPath ?? '' };
      return { kind: 'routed', id, outcome: 'ok', ...paths, pid, ticket, leaseMs };
    };
  }

  connect(port: number): LineClient {
    const client = new LineClient(connect({ port, host: '127.0.0.1' }));
    this.clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.socket.destroy();
    for (const toy of this.#toys) {
      toy.channel.destroy();
      if (toy.exitCode === undefined) toy.process.kill('SIGKILL');
      await toy.exited();
    }
    for (const fd of this.#fds) closeDescriptor(fd);
    rmSync(this.folder, { recursive: true });
  }

  #privateSockets(hasDescriptors: boolean): PrivateSockets {
    const path = join(this.folder, `mail-${this.#toys.length}`);
    const descriptorPath = `${path}-fd`;
    const fd = this.#calls.listenUnix(path, 64);
    const descriptorFd = bindDescriptorSocket(descriptorPath);
    return { fd, path, descriptorFd, descriptorPath: hasDescriptors ? descriptorPath : '' };
  }
}

/** A client that sends lines and waits for them. */
export class LineClient {
  socket: Socket;
  received = '';
  hasEnded = false;
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.use(socket);
  }
  use(socket: Socket): void {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
    });
    socket.on('end', () => {
      this.hasEnded = true;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
    });
  }
  send(text: string): void {
    this.socket.write(text);
  }
  /** Waits for text that matches, takes everything up to its end, and returns the match. */
  async expect(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null;
    await until(
      () => {
        match = pattern.exec(this.received);
        return match !== null || this.isClosed;
      },
      `${pattern} in ${JSON.stringify(this.received.slice(0, 200))}`,
      timeoutMs,
    );
    const found = match ?? pattern.exec(this.received);
    if (found === null) throw new Error(`closed before ${pattern}, received ${JSON.stringify(this.received.slice(0, 200))}`);
    this.received = this.received.slice(found.index + found[0].length);
    return found;
  }
}
