// A template plays one session before anybody has a copy of it made: with a master, an auth server, anvil and a client of its own, all in this
// process. What V8 compiles and learns on the way, and what Node loads, every copy then has. Nothing of it meets the real server: the sockets
// have names that nobody knows, in no file system, and the mail is in a folder that is removed.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClaimSealer } from '#auth/claim-token.js';
import { FramedChannel } from '#ipc/channel.js';
import type { ChildMessage, InheritedListener, MasterMessage, PrivateSockets, StartMessage } from '#ipc/control.js';
import { bindDescriptorSocket, closeDescriptor, openSocketPair } from '#ipc/handle-pass.js';
import { ListeningSockets } from '#ipc/listening-socket.js';
import type { HandoffRequest } from '#ipc/peer.js';
import { silentLogger } from '#log/logger.js';
import { Clients } from './clients.js';
import { ControlLink } from './control-link.js';
import { HandoffReceiver } from './handoff-receiver.js';
import { HandoffSender } from './handoff-sender.js';
import type { Rehearsal, Role } from './role.js';

const timeoutMs = 20_000;
/** Names of what the event loop waits for: requests to the thread pool, and what is on its way through sockets. */
const unfinished = /Req|REQUEST|ConnectWrap|ShutdownWrap|WriteWrap|TCPSocketWrap/;
const user = 'rehearsal';
const loopback = {
  remoteIp: '127.0.0.1',
  remotePort: 1,
  localIp: '127.0.0.1',
  localPort: 1,
  tls: undefined,
  isSecured: true,
  isTrusted: false,
};
const authGreeting = 'VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000000\nDONE\n';

/**
 * Plays `role.rehearsal`, if there is one.
 * @param serve runs the role until it has served its one client
 * @throws Error when it does not come to its end; the process is of no use then
 */
export async function rehearse(role: Role, serve: (control: ControlLink) => Promise<void>): Promise<void> {
  const { rehearsal } = role;
  if (rehearsal === undefined) return;
  let folder: string;
  try {
    folder = mkdtempSync(join(tmpdir(), 'roost-rehearsal-'));
  } catch {
    // Login processes may write nowhere, and need to.
    if (rehearsal.settings !== undefined) return;
    folder = '';
  }
  const stage = new Stage(role, rehearsal, folder);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the rehearsal stopped at ${stage.position}`)), timeoutMs);
  });
  try {
    await Promise.race([stage.play(serve), late]);
  } finally {
    clearTimeout(timer);
    stage.close();
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  }
  await settled();
}

class Stage {
  readonly #role: Role;
  readonly #rehearsal: Rehearsal;
  readonly #folder: string;
  readonly #name = `\0roost-${randomBytes(16).toString('hex')}`;
  readonly #secret = randomBytes(32);
  readonly #sockets = new ListeningSockets();
  readonly #servers: Server[] = [];
  readonly #channels: FramedChannel[] = [];
  readonly #fds: number[] = [];
  #line = 0;

  constructor(role: Role, rehearsal: Rehearsal, folder: string) {
    this.#role = role;
    this.#rehearsal = rehearsal;
    this.#folder = folder;
  }

  /** For the log, when it is where everything stopped. */
  get position(): string {
    return this.#rehearsal.lines[this.#line]?.send ?? 'its end';
  }

  async play(serve: (control: ControlLink) => Promise<void>): Promise<void> {
    const answerAuth = (line: string): string => (line.startsWith('AUTH\t') ? `OK\t${line.split('\t')[1]}\tuser=${user}\n` : '');
    await this.#answer('/login/login', authGreeting, answerAuth);
    const answerAnvil = (line: string): string => (/^(LOOKUP|PENALTY-GET)\t/.test(line) ? '0\t0\n' : '');
    for (const path of ['/login/anvil', '/anvil']) await this.#answer(path, 'VERSION\tanvil\t1\t0\n', answerAnvil);
    const privateSockets = this.#privateSockets();
    const isHandedOver = this.#rehearsal.from === 'handoff';
    const listenerFd = isHandedOver ? undefined : this.#sockets.listenInet('127.0.0.1', 0, { backlog: 1 });
    let receiver: HandoffReceiver | undefined;
    if (!isHandedOver) receiver = this.#receive(privateSockets);
    const port = listenerFd === undefined ? 0 : this.#sockets.portOf(listenerFd);
    const listeners = listenerFd === undefined ? [] : [listenerOf(listenerFd, port)];
    const { promise: isReady, resolve: ready } = deferred();
    const control = this.#master(privateSockets, { listeners, privateSockets: isHandedOver ? privateSockets : undefined, ready });
    const served = serve(control);
    await isReady;
    await (isHandedOver ? this.#handOver(privateSockets) : this.#converse(connect(port, '127.0.0.1')));
    await served;
    await receiver?.close();
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const channel of this.#channels) channel.destroy();
    for (const fd of this.#fds) closeDescriptor(fd);
  }

  #answer(path: string, greeting: string, answer: (line: string) => string): Promise<void> {
    const server = createServer((socket) => {
      let rest = '';
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        const lines = (rest + chunk.toString('latin1')).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const text = answer(line);
          if (text !== '') socket.write(text);
        }
      });
      socket.write(greeting);
    });
    this.#servers.push(server);
    return new Promise((resolve, reject) => server.on('error', reject).listen(`${this.#name}${path}`, resolve));
  }

  #privateSockets(): PrivateSockets {
    const path = `${this.#name}/session`;
    const descriptorPath = `${path}.fd`;
    // Node gives such a name the greatest length there is.
    const wholeName = `@${path.slice(1)}`.padEnd(108, '\0');
    const descriptorFd = bindDescriptorSocket(descriptorPath);
    this.#fds.push(descriptorFd);
    return { fd: this.#sockets.listenUnix(wholeName, 1), path, descriptorFd, descriptorPath };
  }

  /** The process that a login process hands over to. */
  #receive(sockets: PrivateSockets): HandoffReceiver {
    const clients = new Clients({ clientLimit: 1, serviceCount: 0 }, { onChange: () => undefined, onEmpty: () => undefined });
    return new HandoffReceiver({
      sockets,
      clients,
      log: silentLogger,
      handler: ({ stream, request, release }) => {
        stream.on('error', () => undefined).on('close', release);
        stream.end(`${request.fields['tag'] ?? '*'} OK Logged in\r\n+OK Logged in\r\n`);
        stream.resume();
        return { isPreAuth: false, startedAtMs: Date.now(), stop: () => stream.destroy() };
      },
    });
  }

  /** The login process that hands over to a mail process. */
  async #handOver(privateSockets: PrivateSockets): Promise<void> {
    const [near, far] = openSocketPair();
    const client = socketOf(near);
    const socket = socketOf(far);
    const sessionId = 'rehearsal';
    const fields = { home: this.#folder };
    const claim = new ClaimSealer(this.#secret).seal({
      user,
      service: this.#rehearsal.service,
      loginPid: process.pid,
      authId: 1,
      sessionId,
      fields,
      untilMs: Date.now() + timeoutMs,
    });
    const request: HandoffRequest = {
      service: this.#rehearsal.service,
      user,
      authPid: 1,
      authId: 1,
      cookie: '',
      loginPid: process.pid,
      claim,
      sessionId,
      peer: loopback,
      fields: { tag: 'a' },
    };
    const sender = new HandoffSender(
      this.#master(privateSockets, { listeners: [], privateSockets: undefined, ready: () => undefined }),
      silentLogger,
    );
    const ignore = (): void => undefined;
    const talk = this.#converse(client);
    const outcome = await sender.send({ stream: socket, socket, buffered: Buffer.alloc(0), request, onRelay: ignore, onRelayEnd: ignore });
    if (outcome.kind !== 'passed') throw new Error(`the rehearsal was not handed over: ${outcome.reason}`);
    await talk;
    sender.close();
  }

  /** Sends each line when what the one before leads to has come. */
  #converse(client: Socket): Promise<void> {
    const { greeting, lines } = this.#rehearsal;
    let received = '';
    let expected = greeting;
    return new Promise((resolve, reject) => {
      client.on('error', reject);
      client.on('close', () => resolve());
      client.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
        if (!expected.test(received)) return;
        const next = lines[this.#line];
        if (next === undefined) return;
        this.#line += 1;
        received = '';
        expected = next.until;
        client.write(`${next.send}\r\n`);
      });
    });
  }

  /** @returns the process's end of a channel to a master that sends it everywhere it wants to go */
  #master(
    route: PrivateSockets,
    options: {
      readonly listeners: readonly InheritedListener[];
      readonly privateSockets: PrivateSockets | undefined;
      readonly ready: () => void;
    },
  ): ControlLink {
    const [near, far] = openSocketPair();
    const channel: FramedChannel = new FramedChannel(socketOf(near), {
      onMessage: (value) => {
        const message = value as ChildMessage;
        const send = (answer: MasterMessage): void => void channel.send(answer);
        if (message.kind === 'needs') send(this.#startMessage(message.settings, options.listeners, options.privateSockets));
        else if (message.kind === 'status') options.ready();
        else if (message.kind === 'route') {
          send({
            kind: 'routed',
            id: message.id,
            outcome: 'ok',
            path: route.path,
            descriptorPath: route.descriptorPath,
            pid: process.pid,
            ticket: 1,
          });
        }
      },
      onClose: () => undefined,
    });
    this.#channels.push(channel);
    return new ControlLink(socketOf(far));
  }

  #startMessage(
    groups: readonly string[],
    listeners: readonly InheritedListener[],
    privateSockets: PrivateSockets | undefined,
  ): StartMessage {
    const values = { ...this.#rehearsal.settings?.(this.#folder) };
    return {
      kind: 'start',
      service: this.#role.name,
      role: this.#role.name,
      generation: 1,
      baseDir: this.#name,
      clientLimit: 1,
      serviceCount: 1,
      processLimit: 1,
      listeners,
      privateSockets,
      settings: { version: 1, groups, kinds: this.#role.sections ?? [], layers: [{ filter: {}, values, sections: [] }] },
      checksTls: false,
      sessionKey: this.#secret.toString('base64'),
      claimKeys: { secret: this.#secret.toString('base64') },
      serves: 'all',
      isDebug: false,
      title: `roost/${this.#role.name}`,
      isVerboseTitle: false,
      stopGraceMs: timeoutMs,
    };
  }
}

function listenerOf(fd: number, port: number): InheritedListener {
  return {
    fd,
    kind: 'inet',
    name: 'rehearsal',
    isTls: false,
    backlog: 1,
    keepAliveMs: 120_000,
    isHaproxy: false,
    address: '127.0.0.1',
    port,
  };
}

function socketOf(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: true, allowHalfOpen: false });
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** A copy has the main thread only: what other threads are in the middle of would never end there. */
async function settled(): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (process.getActiveResourcesInfo().some((name) => unfinished.test(name))) {
    if (performance.now() > deadline) throw new Error(`the rehearsal left ${process.getActiveResourcesInfo().join(', ')}`);
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
}
