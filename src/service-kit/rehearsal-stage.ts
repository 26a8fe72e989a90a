// What a rehearsal (rehearsal.ts, practice.ts) plays on: a master, an auth server, anvil and clients of its own, all in this process. Nothing of it meets
// the real server. Its sockets are in a folder that only this user may enter. Login processes, which may write nowhere, have names instead that are in
// no file system: whoever found one of those could only log in to what forgets him at once.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { connect, createServer, type Server, Socket } from 'node:net';
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
import type { Rehearsal, RehearsalLine, Role } from './role.js';

/** Longest time that anything may take. */
export const stageTimeoutMs = 20_000;
const stageClientLimit = 16;
const tailBytes = 4_096;
const longestPosition = 60;
const nothing = /$^/;
const ignore = (): void => undefined;
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

export interface StageOptions {
  /** 1: the role ends with its first client. 0: it serves any number, until the end. */
  readonly serviceCount: 0 | 1;
  readonly title: string;
  /** Before each line of a client. Rejects: there is to be no more. */
  readonly pace?: () => Promise<void>;
}

export class Stage {
  readonly #role: Role;
  readonly #rehearsal: Rehearsal;
  readonly #folder: string;
  readonly #options: StageOptions;
  /** What the names of its sockets begin with. */
  readonly #name: string;
  readonly #secret = randomBytes(32);
  readonly #sockets = new ListeningSockets();
  readonly #servers: Server[] = [];
  readonly #channels: FramedChannel[] = [];
  readonly #fds: number[] = [];
  readonly #clients = new Set<Socket>();
  #port = 0;
  #privateSockets: PrivateSockets | undefined;
  #receiver: HandoffReceiver | undefined;
  #sender: HandoffSender | undefined;
  #toRole: FramedChannel | undefined;
  #served: Promise<void> = Promise.resolve();
  #position = '';

  /** @param folder of openFolder (rehearsal-folder.ts) */
  constructor(role: Role, rehearsal: Rehearsal, folder: string, options: StageOptions) {
    this.#role = role;
    this.#rehearsal = rehearsal;
    this.#folder = folder;
    this.#options = options;
    this.#name = folder === '' ? `\0roost-${randomBytes(16).toString('hex')}` : `${folder}/run`;
  }

  /** For the log, when it is where everything stopped. */
  get position(): string {
    return this.#position === '' ? 'its end' : this.#position;
  }

  /** @param serve runs the role; what it rejects with comes out of `end`, or here */
  async open(serve: (control: ControlLink) => Promise<void>): Promise<void> {
    if (this.#folder !== '') mkdirSync(`${this.#name}/login`, { recursive: true });
    const answerAuth = (line: string): string => (line.startsWith('AUTH\t') ? `OK\t${line.split('\t')[1]}\tuser=${user}\n` : '');
    await this.#answer('/login/login', authGreeting, answerAuth);
    const answerAnvil = (line: string): string => (/^(LOOKUP|PENALTY-GET)\t/.test(line) ? '0\t0\n' : '');
    for (const path of ['/login/anvil', '/anvil']) await this.#answer(path, 'VERSION\tanvil\t1\t0\n', answerAnvil);
    const privateSockets = this.#openPrivateSockets();
    this.#privateSockets = privateSockets;
    const isHandedOver = this.#rehearsal.from === 'handoff';
    const listenerFd = isHandedOver ? undefined : this.#sockets.listenInet('127.0.0.1', 0, { backlog: 1 });
    if (!isHandedOver) this.#receiver = this.#receive(privateSockets);
    this.#port = listenerFd === undefined ? 0 : this.#sockets.portOf(listenerFd);
    const listeners = listenerFd === undefined ? [] : [listenerOf(listenerFd, this.#port)];
    const { promise: isReady, resolve: ready } = deferred();
    const { control, channel } = this.#master(privateSockets, {
      listeners,
      privateSockets: isHandedOver ? privateSockets : undefined,
      ready,
    });
    this.#toRole = channel;
    this.#served = serve(control);
    await Promise.race([isReady, this.#served]);
  }

  /** One client, from its connection to its end. */
  async session(lines: readonly RehearsalLine[]): Promise<void> {
    const { from } = this.#rehearsal;
    if (from === 'listener') await this.#converse(connect(this.#port, '127.0.0.1'), lines);
    else await this.#handOver(lines);
  }

  /** Resolves when the role has ended. One that serves any number of clients is told to. */
  async end(): Promise<void> {
    if (this.#options.serviceCount === 0) {
      this.#toRole?.send({ kind: 'stop', clients: 'end', reason: 'the rehearsal is over' } satisfies MasterMessage);
    }
    await this.#served;
    this.#sender?.close();
    await this.#receiver?.close();
  }

  /** At once, wherever it is; what waits for it then fails. */
  close(): void {
    for (const client of this.#clients) client.destroy(new Error('the rehearsal was broken off'));
    for (const server of this.#servers) server.close();
    for (const channel of this.#channels) channel.destroy();
    for (const fd of this.#fds.splice(0)) closeDescriptor(fd);
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

  #openPrivateSockets(): PrivateSockets {
    const path = `${this.#name}/session`;
    const descriptorPath = `${path}.fd`;
    // Node gives a name that is in no file system the greatest length there is.
    const wholeName = this.#folder === '' ? `@${path.slice(1)}`.padEnd(108, '\0') : path;
    const descriptorFd = bindDescriptorSocket(descriptorPath);
    this.#fds.push(descriptorFd);
    return { fd: this.#sockets.listenUnix(wholeName, 1), path, descriptorFd, descriptorPath };
  }

  /** The process that a login process hands over to. */
  #receive(sockets: PrivateSockets): HandoffReceiver {
    const clients = new Clients(
      { clientLimit: stageClientLimit, serviceCount: 0 },
      { onChange: () => undefined, onEmpty: () => undefined },
    );
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
  async #handOver(lines: readonly RehearsalLine[]): Promise<void> {
    const privateSockets = this.#privateSockets;
    if (privateSockets === undefined) throw new Error('the rehearsal has not begun');
    const route = { listeners: [], privateSockets: undefined, ready: (): void => undefined };
    this.#sender ??= new HandoffSender(this.#master(privateSockets, route).control, silentLogger);
    const [near, far] = openSocketPair();
    const client = socketOf(near);
    const socket = socketOf(far);
    const talk = this.#converse(client, lines);
    // It fails along with the hand-off, which is waited for first.
    talk.catch(ignore);
    const request = this.#handoffRequest();
    const outcome = await this.#sender.send({
      stream: socket,
      socket,
      buffered: Buffer.alloc(0),
      request,
      onRelay: ignore,
      onRelayEnd: ignore,
    });
    if (outcome.kind !== 'passed') throw new Error(`the rehearsal was not handed over: ${outcome.reason}`);
    await talk;
  }

  #handoffRequest(): HandoffRequest {
    const sessionId = 'rehearsal';
    const claim = new ClaimSealer(this.#secret).seal({
      user,
      service: this.#rehearsal.service,
      loginPid: process.pid,
      authId: 1,
      sessionId,
      fields: { home: this.#folder },
      untilMs: Date.now() + stageTimeoutMs,
    });
    return {
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
  }

  /** Sends each line when what the one before leads to has come. */
  #converse(client: Socket, lines: readonly RehearsalLine[]): Promise<void> {
    const { pace } = this.#options;
    // The end of what has come: replies may be long, and what is waited for is in their last line.
    let tail = '';
    let expected = this.#rehearsal.greeting;
    let sent = 0;
    this.#position = 'the greeting';
    this.#clients.add(client);
    return new Promise((resolve, reject) => {
      const send = ({ send: text, until }: RehearsalLine): void => {
        sent += 1;
        this.#position = text.slice(0, longestPosition);
        tail = '';
        expected = until;
        client.write(`${text}\r\n`, 'latin1');
      };
      client.on('error', reject);
      client.on('close', () => {
        this.#clients.delete(client);
        if (sent < lines.length) reject(new Error(`the rehearsal ended after ${this.#position}`));
        else this.#position = '';
        resolve();
      });
      client.on('data', (chunk: Buffer) => {
        tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - tailBytes))).slice(-tailBytes);
        if (!expected.test(tail)) return;
        const next = lines[sent];
        if (next === undefined) return;
        expected = nothing;
        if (pace === undefined) send(next);
        else pace().then(() => send(next), reject);
      });
    });
  }

  /** @returns both ends of a channel to a master that sends the process everywhere it wants to go */
  #master(
    route: PrivateSockets,
    options: {
      readonly listeners: readonly InheritedListener[];
      readonly privateSockets: PrivateSockets | undefined;
      readonly ready: () => void;
    },
  ): { readonly control: ControlLink; readonly channel: FramedChannel } {
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
    return { control: new ControlLink(socketOf(far)), channel };
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
      clientLimit: this.#options.serviceCount === 1 ? 1 : stageClientLimit,
      serviceCount: this.#options.serviceCount,
      processLimit: 1,
      listeners,
      privateSockets,
      settings: { version: 1, groups, kinds: this.#role.sections ?? [], layers: [{ filter: {}, values, sections: [] }] },
      checksTls: false,
      sessionKey: this.#secret.toString('base64'),
      claimKeys: { secret: this.#secret.toString('base64') },
      serves: 'all',
      isDebug: false,
      title: this.#options.title,
      isVerboseTitle: false,
      stopGraceMs: stageTimeoutMs,
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
