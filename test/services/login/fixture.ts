// A login role in this process: real sockets on loopback, a real auth role behind a UNIX socket, a hand-off that the test decides.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import type { SettingsGroup, SettingsOf } from '#config/define.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { HandoffRequest, Peer } from '#ipc/peer.js';
import { type LogFields, type Logger, silentLogger } from '#log/logger.js';
import type { loginSettings } from '#pre-auth/settings.js';
import type { AcceptedConnection, ClientHandle, HandoffOutcome, Role, ServiceContext } from '#service-kit/role.js';
import type { tlsSettings } from '#service-kit/settings.js';
import { ClientConnection } from '#services/auth/client-connection.js';
import { createFixture, type Fixture, type FixtureOptions } from '../auth/fixture.js';

export interface LoginOptions extends FixtureOptions {
  readonly login?: Partial<SettingsOf<typeof loginSettings>>;
  readonly tls?: Partial<SettingsOf<typeof tlsSettings>>;
  readonly peer?: Partial<Peer>;
  readonly sessions?: number;
  readonly handOff?: (stream: Duplex, buffered: Buffer, request: HandoffRequest) => Promise<HandoffOutcome>;
  readonly startTls?: ServiceContext['startTls'];
  readonly isTlsListener?: boolean;
  /** Nobody listens on the auth socket. */
  readonly isAuthDown?: boolean;
}

export interface LoginWorld {
  readonly auth: Fixture;
  readonly log: string[];
  readonly handedOver: { readonly request: HandoffRequest; readonly buffered: string }[];
  /** Handles of the accepted connections. */
  readonly handles: ClientHandle[];
  released: number;
  connect(): Promise<LineClient>;
}

const loginDefaults: SettingsOf<typeof loginSettings> = {
  login_greeting: 'Roost ready.',
  login_log_format_elements: ['user=<%u>', 'method=%m', 'rip=%r', 'lip=%l', 'mpid=%e', '%c', 'session=<%{session}>'],
  login_log_format: '%$: %s',
  disable_plaintext_auth: true,
  mail_max_userip_connections: 50,
  imap_id_retain: false,
  imap_literal_minus: false,
  imap_id_send: 'name *',
};

export async function startLogin(t: TestContext, role: Role, options: LoginOptions = {}): Promise<LoginWorld> {
  const auth = createFixture(t, options);
  const baseDir = mkdtempSync(join(tmpdir(), 'roost-login-'));
  t.after(() => rmSync(baseDir, { recursive: true, force: true }));
  mkdirSync(join(baseDir, 'login'));
  const authServer = serveAuth(auth);
  if (!options.isAuthDown) await listen(authServer, join(baseDir, 'login', 'login'));
  const world: LoginWorld = { auth, log: [], handedOver: [], handles: [], released: 0, connect: () => LineClient.open(port) };
  let accept: ((connection: AcceptedConnection) => ClientHandle) | undefined;
  const context = fakeContext(world, options, baseDir, (handler) => {
    accept = handler;
  });
  const end = await role.start(context);
  const server = createServer((socket) => {
    const peer: Peer = {
      remoteIp: '10.0.0.9',
      remotePort: 4711,
      localIp: '10.0.0.2',
      localPort: 143,
      tls: undefined,
      isSecured: true,
      isTrusted: false,
      ...options.peer,
    };
    const connection: AcceptedConnection = {
      socket,
      peer,
      listener: { kind: 'inet', name: 'imap', isTls: options.isTlsListener ?? false },
      release: () => {
        world.released += 1;
      },
    };
    if (accept) world.handles.push(accept(connection));
  });
  await listen(server, 0);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  t.after(async () => {
    server.close();
    authServer.close();
    for (const handle of world.handles) handle.stop('shutdown');
    await end();
  });
  return world;
}

function fakeContext(
  world: LoginWorld,
  options: LoginOptions,
  baseDir: string,
  onConnection: (handler: (connection: AcceptedConnection) => ClientHandle) => void,
): ServiceContext {
  const log: Logger = {
    ...silentLogger,
    info: (_event: string, text: string, _fields?: LogFields) => {
      world.log.push(text);
    },
    child: () => log,
  };
  const login = { ...loginDefaults, ...options.login };
  const tls = { ssl: 'yes', ssl_cert: '', ...options.tls };
  const settings: SettingsSource = {
    get: <Group extends SettingsGroup>(group: Group) => (group.name === 'login' ? login : tls) as unknown as SettingsOf<Group>,
    forConnection: () => settings,
    hasLocalNames: false,
    sections: () => [],
    plugin: () => undefined,
  };
  return {
    service: 'imap-login',
    log,
    settings,
    baseDir,
    clientLimit: 100,
    serviceCount: 0,
    stopping: new AbortController().signal,
    hasInetListeners: true,
    onConnection,
    loggedIn: () => undefined,
    onHandoff: () => undefined,
    onReturn: () => undefined,
    async handOff(_connection, stream, buffered, request) {
      world.handedOver.push({ request, buffered: buffered.toString() });
      if (options.handOff) return options.handOff(stream, buffered, request);
      stream.write('handed over\r\n');
      return { kind: 'passed', pid: 1234 };
    },
    canPassOn: () => false,
    passOn: () => Promise.resolve({ kind: 'failed', reason: 'not in this test' }),
    seal: () => '',
    isSealed: () => false,
    startTls: options.startTls ?? (() => Promise.reject(new Error('no TLS in this test'))),
    anvil: {
      connect: () => () => undefined,
      counting: undefined,
      lookup: async () => options.sessions ?? 0,
      penalty: async () => ({ value: 0, lastSeconds: 0 }),
      setPenalty: () => undefined,
    },
    onReload: () => undefined,
    mayServe: () => true,
    openSession: () => Promise.resolve({ kind: 'failed', reason: 'not here' }),
    count: () => undefined,
    addTotals: () => undefined,
    metrics: () => Promise.reject(new Error('no master in this test')),
    titleChanged: () => undefined,
  };
}

function serveAuth(auth: Fixture): Server {
  let connections = 0;
  return createServer((socket) => {
    connections += 1;
    const sink = { write: (text: string) => void socket.write(text), end: () => void socket.end() };
    const connection = new ClientConnection(auth.authenticator, sink, true, connections);
    socket.on('data', (chunk: Buffer) => connection.receive(chunk));
    socket.on('close', () => connection.close());
    socket.on('error', () => undefined);
  });
}

function listen(server: Server, where: number | string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    if (typeof where === 'string') server.listen(where, resolve);
    else server.listen(where, '127.0.0.1', resolve);
  });
}

/** A client that reads line by line. */
export class LineClient {
  readonly socket: Socket;
  #text = '';
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    const wake = (): void => this.#wake?.();
    socket.on('data', (text: string) => {
      this.#text += text;
      wake();
    });
    for (const event of ['end', 'close', 'error']) {
      socket.on(event, () => {
        this.#isEnded = true;
        wake();
      });
    }
  }

  static open(port: number): Promise<LineClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(new LineClient(socket)));
      socket.once('error', reject);
    });
  }

  send(text: string): void {
    this.socket.write(text);
  }

  /** The next line without CRLF; undefined at the end of the connection. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\r\n');
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return line;
      }
      if (this.#isEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
