// One running process of a service: what the role sees (ServiceContext) and what the master hears.
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { type PackedSettings, unpackSettings } from '#config/pack.js';
import type { ConnectionFacts, SettingsSource } from '#config/settings-source.js';
import type { ClaimKeys } from '#ipc/claim-keys.js';
import type { MasterMessage, RoutedMessage, StartMessage } from '#ipc/control.js';
import type { CountName, Counts } from '#ipc/counts.js';
import { canPassDescriptors } from '#ipc/handle-pass.js';
import type { HandoffRequest, Origin, Peer } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import { isSameSeal, Mac } from '#util/mac.js';
import { Acceptor } from './acceptor.js';
import { AnvilConnection } from './anvil-client.js';
import { type ClientSlot, Clients } from './clients.js';
import type { ControlLink } from './control-link.js';
import { HandoffReceiver } from './handoff-receiver.js';
import { canPassSession, HandoffSender } from './handoff-sender.js';
import { IdleMemory } from './idle-memory.js';
import { Listeners } from './listeners.js';
import type { LoadState } from './load.js';
import { LoadMonitor, maxFilesShare } from './load-monitor.js';
import { descriptorOf, isClientSocket } from './open-socket.js';
import { originText } from './origin.js';
import type {
  AcceptedConnection,
  ClientHandle,
  ConnectionPolicy,
  HandedConnection,
  HandoffOutcome,
  ListenerFacts,
  OpenedSession,
  PassWait,
  ServiceContext,
} from './role.js';
import { connectionSettings } from './settings.js';
import { StatusReporter } from './status-reporter.js';
import type { RelayHandle } from './stream-link.js';
import { ProcessTitle } from './title.js';
import { TlsContexts, upgradeToTls } from './tls.js';
import { TlsError } from './tls-error.js';
import { TlsStream } from './tls-stream.js';

const busyText = 'Server is too busy, try again later';
/** How long the master may take to tell the figures. */
const metricsTimeoutMs = 5_000;

/** Of a connection that is no client's. */
const noLogin = {
  authPid: 0,
  authId: 0,
  cookie: '',
  peer: { remoteIp: '', remotePort: 0, localIp: '', localPort: 0, tls: undefined, isSecured: true, isTrusted: false },
} as const;

export interface ServiceProcessEvents {
  /** Stopping, and the last client has gone. */
  readonly onFinished: () => void;
  /** A client came, or the last one went. @param isAtRest there are none */
  readonly onClients?: (isAtRest: boolean) => void;
}

export class ServiceProcess implements ServiceContext {
  readonly service: string;
  readonly log: Logger;
  readonly settings: SettingsSource;
  readonly baseDir: string;
  readonly clientLimit: number;
  readonly serviceCount: number;
  readonly anvil: AnvilConnection;
  readonly #start: StartMessage;
  readonly #control: ControlLink;
  readonly #events: ServiceProcessEvents;
  readonly #stopping = new AbortController();
  readonly #clients: Clients;
  readonly #status: StatusReporter;
  readonly #title: ProcessTitle;
  readonly #tls: TlsContexts;
  readonly #sender: HandoffSender;
  readonly #load: LoadMonitor;
  readonly #idleMemory = new IdleMemory(() => this.#clients.count);
  readonly #slots = new WeakMap<AcceptedConnection, ClientSlot>();
  /** It has become its user before this is made. */
  readonly #uid = process.getuid?.();
  #relayCount = 0;
  #mac: Mac | undefined;
  readonly #reloadHandlers: (() => void)[] = [];
  readonly #askedMetrics = new Map<number, (text: string) => void>();
  #lastAskedMetrics = 0;
  #listeners: Listeners | undefined;
  #receiver: HandoffReceiver | undefined;
  /** The role has a text for clients that are refused. Others, auth and anvil, serve our own processes, which shall not be kept waiting. */
  #shedsLoad = false;
  #hasToldTlsFault = false;
  #isReady = false;
  #wasAtRest = true;
  #isFinished = false;

  constructor(start: StartMessage, control: ControlLink, log: Logger, events: ServiceProcessEvents) {
    this.#start = start;
    this.#control = control;
    this.#events = events;
    this.service = start.service;
    this.log = log;
    // Made by the master from the same source files as this process.
    this.settings = unpackSettings(start.settings as PackedSettings);
    this.baseDir = start.baseDir;
    this.clientLimit = start.clientLimit;
    this.serviceCount = start.serviceCount;
    this.anvil = new AnvilConnection(`${start.baseDir}/${start.role.endsWith('-login') ? 'login/anvil' : 'anvil'}`, log);
    this.#clients = new Clients(start, { onChange: (isUrgent) => this.#clientsChanged(isUrgent), onEmpty: () => this.#finishWhenEmpty() });
    this.#status = new StatusReporter(this.#clients, (status) => control.send(status));
    this.#title = new ProcessTitle(start.title, start.isVerboseTitle, () => ({
      own: this.#clients.onlyTitle,
      clients: this.#clients.count,
      preAuth: this.#clients.countPreAuth(),
      relays: this.#relayCount,
    }));
    this.#tls = new TlsContexts(this.settings, start.tlsTicketKeys === undefined ? undefined : Buffer.from(start.tlsTicketKeys, 'base64'));
    this.#sender = new HandoffSender(control, log);
    const { busy_max_lag: lagMs, busy_max_memory: memory } = this.settings.get(connectionSettings);
    this.#load = new LoadMonitor(
      { lagMs: lagMs > 0 ? lagMs : Number.POSITIVE_INFINITY, memory: memory > 0 ? memory / 100 : 2, files: maxFilesShare },
      log,
      (state) => this.#loadChanged(state.kind),
    );
  }

  /** Nobody is connected, and somebody may come. */
  get isAtRest(): boolean {
    return this.#clients.count === 0 && !this.#stopping.signal.aborted;
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  get claimKeys(): ClaimKeys | undefined {
    return this.#start.claimKeys;
  }

  get hasInetListeners(): boolean {
    return this.#start.listeners.some(({ kind }) => kind === 'inet');
  }

  mayServe(uid: number | undefined): boolean {
    const { serves } = this.#start;
    if (serves === 'all') return true;
    return uid === undefined ? serves === 'own' : uid === this.#uid;
  }

  openSession(request: Pick<HandoffRequest, 'service' | 'user' | 'fields'>, signal: AbortSignal): Promise<OpenedSession> {
    const sessionId = randomBytes(12).toString('base64url');
    return this.#sender.open({ ...noLogin, ...request, loginPid: process.pid, sessionId }, signal);
  }

  count(name: CountName): void {
    this.#status.count(name);
  }

  addTotals(read: () => Counts): void {
    this.#status.addTotals(read);
  }

  metrics(format: 'text' | 'openmetrics'): Promise<string> {
    this.#lastAskedMetrics += 1;
    const id = this.#lastAskedMetrics;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#askedMetrics.delete(id);
        reject(new Error(`the master did not answer in ${metricsTimeoutMs / 1000} s`));
      }, metricsTimeoutMs);
      this.#askedMetrics.set(id, (text) => {
        clearTimeout(timer);
        resolve(text);
      });
      this.#control.send({ kind: 'metrics', id, format });
    });
  }

  onReload(handler: () => void): void {
    this.#reloadHandlers.push(handler);
  }

  onConnection(handler: (connection: AcceptedConnection) => ClientHandle, policy: ConnectionPolicy = {}): void {
    if (this.#listeners !== undefined) throw new Error('onConnection may be called once');
    const settings = this.settings.get(connectionSettings);
    this.#shedsLoad = policy.refusal !== undefined && this.clientLimit > 1;
    const acceptor = new Acceptor({
      clients: this.#clients,
      settings,
      log: this.log,
      policy,
      handler: (connection, slot) => {
        this.#slots.set(connection, slot);
        return handler(connection);
      },
      loadRefusal: () => (this.#load.state.kind === 'refuse' ? busyText : undefined),
    });
    this.#listeners = new Listeners(this.#start.listeners, {
      onSocket: (socket, listener) => acceptor.accept(socket, listener),
      clients: this.#sharesClients ? () => this.#clients.count : undefined,
      log: this.log,
    });
    if (this.#isReady) this.#updateListeners();
  }

  /** Mail servers keep their connections for long; what they send is to be shared by all processes. */
  get #sharesClients(): boolean {
    const { role, processLimit, clientLimit } = this.#start;
    return (role === 'lmtp' || role === 'smtp') && processLimit !== 1 && clientLimit > 1;
  }

  loggedIn(connection: AcceptedConnection, sessionId: string): void {
    this.#slots.get(connection)?.identify(sessionId);
    this.#clientsChanged(false);
  }

  onHandoff(handler: (connection: HandedConnection, slot: ClientSlot) => ClientHandle): void {
    const { privateSockets } = this.#start;
    if (this.#receiver !== undefined) throw new Error('onHandoff may be called once');
    if (privateSockets === undefined) return;
    this.#receiver = new HandoffReceiver({ sockets: privateSockets, clients: this.#clients, handler, log: this.log });
  }

  onReturn(handler: (connection: AcceptedConnection, stream: Duplex) => ClientHandle): void {
    this.onHandoff((handed, slot) => {
      const { stream, request } = handed;
      const { origin, peer } = request;
      const socket = stream instanceof TlsStream ? stream.socket : stream;
      const fd = isClientSocket(socket) ? descriptorOf(socket) : undefined;
      if (!isClientSocket(socket) || fd === undefined || origin === undefined || !this.isSealed(originText(origin, peer, fd), origin.seal))
        throw new Error('it does not come from here');
      const listener: ListenerFacts = { kind: 'inet', name: origin.listener, isTls: false };
      const connection: AcceptedConnection = { socket, peer, listener, release: () => handed.release() };
      this.#slots.set(connection, slot);
      return handler(connection, stream);
    });
  }

  /** Undefined in services that take nothing back. */
  #originOf(connection: AcceptedConnection, peer: Peer): ((fd: number | undefined) => Origin) | undefined {
    if (this.#receiver === undefined) return undefined;
    const origin = { service: this.service, listener: connection.listener.name };
    return (fd) => {
      const seal = fd === undefined ? '' : this.seal(originText(origin, peer, fd));
      return { service: origin.service, listener: origin.listener, seal };
    };
  }

  async handOff(connection: AcceptedConnection, stream: Duplex, buffered: Buffer, request: HandoffRequest): Promise<HandoffOutcome> {
    let relayed: RelayHandle | undefined;
    const outcome = await this.#sender.send({
      stream,
      socket: connection.socket,
      tls: stream instanceof TlsStream ? stream : undefined,
      buffered,
      request,
      originOf: this.#originOf(connection, request.peer),
      onRelay: (relay) => {
        relayed = relay;
        this.#relayCount += 1;
        this.#slots.get(connection)?.attach(this.#relayHandle(relay, `${connection.peer.remoteIp} TLS proxy`), request.sessionId);
        this.#clientsChanged(false);
      },
      onRelayEnd: () => {
        if (relayed !== undefined) this.#relayCount -= 1;
        connection.release();
      },
    });
    if (outcome.kind === 'passed' && relayed === undefined) connection.release();
    return outcome;
  }

  canPassOn({ stream }: HandedConnection): boolean {
    return canPassSession(stream);
  }

  passOn(connection: HandedConnection, request: HandoffRequest, wait?: PassWait): Promise<HandoffOutcome> {
    return this.#sender.passOn(connection.stream, request, wait);
  }

  seal(text: string): string {
    return this.#sealer().of(text);
  }

  isSealed(text: string, seal: string): boolean {
    return isSameSeal(this.#sealer().of(text), seal);
  }

  /** Only mail and login processes have a key. */
  #sealer(): Mac {
    const { sessionKey } = this.#start;
    if (sessionKey === undefined) throw new Error('this process has no session key');
    this.#mac ??= new Mac(Buffer.from(sessionKey, 'base64'));
    return this.#mac;
  }

  async startTls(
    connection: AcceptedConnection,
    buffered: Buffer,
    mayMove = false,
  ): Promise<{ readonly stream: Duplex; readonly peer: Peer }> {
    const { socket, peer } = connection;
    const facts = { localIp: peer.localIp, remoteIp: peer.remoteIp };
    this.#tellTlsFault(facts);
    const { stream, facts: tls } = await upgradeToTls({ socket, contexts: this.#tls, facts, buffered, mayMove });
    return { stream, peer: { ...peer, tls, isSecured: true } };
  }

  titleChanged(): void {
    this.#title.changed();
  }

  /** The role is ready: reports for duty and accepts. */
  ready(): void {
    this.#isReady = true;
    this.#updateListeners();
    this.#status.start();
    this.#idleMemory.start();
    // Before the first client has to wait for it. In a role that neither sends nor receives connections nothing is loaded.
    if (this.#start.role.endsWith('-login') || this.#receiver !== undefined) setImmediate(() => this.#warnAboutDescriptors());
    if (this.#start.checksTls !== false) setImmediate(() => this.#warnAboutTls());
    this.#title.changed();
    this.#finishWhenEmpty();
  }

  receive(message: Exclude<MasterMessage, StartMessage | RoutedMessage>): void {
    if (message.kind === 'stop') this.stop(message.clients, message.reason);
    else if (message.kind === 'queue-full') this.#clients.pushOutOldest();
    else if (message.kind === 'metrics') {
      this.#askedMetrics.get(message.id)?.(message.text);
      this.#askedMetrics.delete(message.id);
    } else if (message.kind === 'reloaded') for (const handler of this.#reloadHandlers) handler();
    else if (message.kind === 'kick') {
      const sessionIds = new Set(message.sessionIds);
      this.#clients.kick(sessionIds);
      this.anvil.kick(sessionIds);
    } else if (message.kind === 'ticket-keys') this.#tls.replaceTicketKeys(Buffer.from(message.tlsTicketKeys, 'base64'));
    else if (message.kind === 'idle-exit') {
      if (this.#clients.count === 0) this.stop('finish', 'idle');
      else this.#status.refuseIdleExit();
    }
  }

  stop(clients: 'finish' | 'end', reason: string): void {
    if (!this.#stopping.signal.aborted) {
      this.log.debug('service.stopping', `Stopping: ${reason}`, { clients: this.#clients.count });
      this.#stopping.abort();
      this.#listeners?.close();
    }
    if (clients === 'end') {
      setTimeout(() => {
        if (this.#clients.count > 0)
          this.log.warning('service.clients-left', `${this.#clients.count} clients did not end in time and are cut off`);
        this.#finish();
      }, this.#start.stopGraceMs).unref();
    }
    this.#clients.stop(clients);
  }

  /** Lets go of everything but the log; resolves when the master has been told everything. */
  async close(): Promise<void> {
    this.#listeners?.close();
    const received = this.#receiver?.close();
    this.#sender.close();
    this.anvil.close();
    this.#load.stop();
    this.#idleMemory.stop();
    this.#status.flush();
    await Promise.all([received, this.#control.close()]);
  }

  #clientsChanged(isUrgent: boolean): void {
    this.#updateListeners();
    if (this.#clients.count > 0 && this.#shedsLoad) this.#load.start();
    else this.#load.stop();
    this.#status.changed(isUrgent);
    this.#title.changed();
    this.#idleMemory.touch();
    this.#tellOfClients();
  }

  #tellOfClients(): void {
    const { isAtRest } = this;
    if (isAtRest === this.#wasAtRest) return;
    this.#wasAtRest = isAtRest;
    this.#events.onClients?.(isAtRest);
  }

  #loadChanged(state: LoadState['kind']): void {
    this.#updateListeners();
    if (state === 'wait') this.#status.count('busy-waits');
    else if (state === 'refuse') this.#status.count('busy-refusals');
    this.#status.loadChanged(state === 'normal' ? undefined : state);
  }

  #updateListeners(): void {
    if (!this.#isReady) return;
    if (this.#clients.isDraining) this.#listeners?.close();
    else this.#listeners?.setOpen(this.#clients.hasRoom && this.#load.state.kind !== 'wait');
  }

  #finishWhenEmpty(): void {
    if (this.#isReady && this.#clients.count === 0 && this.#clients.isDraining) this.#finish();
  }

  #finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#stopping.abort();
    this.#events.onFinished();
  }

  /** The mail process says goodbye to the client; login only waits for it, unless the session is to be cut. */
  #relayHandle(relay: RelayHandle, title: string): ClientHandle {
    return {
      title,
      isPreAuth: false,
      startedAtMs: Date.now(),
      stop: (reason) => {
        if (reason === 'kicked') relay.destroy();
      },
    };
  }

  /** Everything works without, but slower, and the end of a login process then ends the sessions that it let in. */
  #warnAboutDescriptors(): void {
    if (canPassDescriptors() || this.#isFinished) return;
    const text =
      'Open connections cannot be passed to another process here (koffi cannot be loaded): all are relayed, as those with TLS are';
    // A process for each client would say it to each.
    if (this.serviceCount === 1) this.log.debug('handoff.relay-only', text);
    else this.log.warning('handoff.relay-only', text);
  }

  /** A TLS listener without a certificate would only fail once a client comes, who would also have to wait for the certificate to be read. */
  #warnAboutTls(): void {
    if (this.#start.listeners.some(({ isTls }) => isTls)) this.#tellTlsFault({});
  }

  /** Once, however many clients meet it. */
  #tellTlsFault(facts: ConnectionFacts): void {
    if (this.#hasToldTlsFault) return;
    try {
      this.#tls.get(facts);
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.#hasToldTlsFault = true;
      this.log.error('tls.not-configured', error.message);
    }
  }
}
