// From a listening socket to an accepted connection: client slot, PROXY protocol, facts about the peer.
import type { SettingsOf } from '#config/define.js';
import type { InheritedListener } from '#ipc/control.js';
import type { Peer, TlsFacts } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import { NetworkList, plainIp } from './addresses.js';
import type { ClientSlot, Clients } from './clients.js';
import type { ClientSocket } from './open-socket.js';
import { type ProxiedAddresses, type ProxiedTls, parseProxyHeader } from './proxy-protocol.js';
import type { AcceptedConnection, ClientHandle, ConnectionPolicy } from './role.js';
import type { connectionSettings } from './settings.js';

type ConnectionHandler = (connection: AcceptedConnection, slot: ClientSlot) => ClientHandle;

/** Time a client turned away has to take its text. */
const refusalMs = 2_000;

export interface AcceptorOptions {
  readonly clients: Clients;
  readonly settings: SettingsOf<typeof connectionSettings>;
  readonly log: Logger;
  readonly handler: ConnectionHandler;
  readonly policy: ConnectionPolicy;
  /** Text for the client when new clients have waited long enough under load; undefined to serve them. */
  readonly loadRefusal: () => string | undefined;
}

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #trusted: NetworkList;
  readonly #proxies: NetworkList;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#trusted = new NetworkList(options.settings.login_trusted_networks);
    this.#proxies = new NetworkList(options.settings.haproxy_trusted_networks);
  }

  accept(socket: ClientSocket, listener: InheritedListener): void {
    // An error always comes with 'close', and a socket without this listener would end the process.
    socket.on('error', ignore);
    const reason = this.#options.loadRefusal();
    if (reason !== undefined) {
      this.#refuse(socket, listener, reason);
      return;
    }
    const slot = this.#options.clients.take();
    if (slot === undefined) this.#refuse(socket, listener, 'Too many connections, try again later');
    else if (listener.isHaproxy) this.#readProxyHeader(socket, listener, slot);
    else this.#deliver(socket, listener, slot, undefined, undefined);
  }

  #readProxyHeader(socket: ClientSocket, listener: InheritedListener, slot: ClientSlot): void {
    const proxyIp = plainIp(socket.remoteAddress ?? '');
    const give = (problem: string): void => {
      this.#options.log.warning('haproxy.refused', `haproxy: ${problem} (ip=${proxyIp})`, { ip: proxyIp, listener: listener.name });
      socket.destroy();
      slot.release();
    };
    if (!this.#proxies.includes(proxyIp)) {
      give('Client not trusted');
      return;
    }
    let received = Buffer.alloc(0);
    const stop = (): void => {
      clearTimeout(timer);
      socket.off('readable', onReadable);
      socket.off('close', onClose);
      slot.detach();
    };
    const onReadable = (): void => {
      for (let chunk: unknown = socket.read(); Buffer.isBuffer(chunk); chunk = socket.read()) received = Buffer.concat([received, chunk]);
      const header = parseProxyHeader(received);
      if (header.kind === 'more') return;
      stop();
      if (header.kind === 'bad') {
        give(`Client sent a bad header: ${header.reason}`);
        return;
      }
      const rest = received.subarray(header.length);
      if (rest.length > 0) socket.unshift(rest);
      // Only in the next tick has the stream noticed that nobody waits for 'readable' any more, and flows for a 'data' listener.
      setImmediate(() => this.#deliver(socket, listener, slot, header.addresses, header.tls));
    };
    const onClose = (): void => {
      stop();
      slot.release();
    };
    const timer = setTimeout(() => {
      stop();
      give('Client timed out');
    }, this.#options.settings.haproxy_timeout);
    socket.on('readable', onReadable);
    socket.on('close', onClose);
    slot.attach({ isPreAuth: true, startedAtMs: Date.now(), stop: () => socket.destroy() });
  }

  #deliver(
    socket: ClientSocket,
    { kind, name, isTls }: InheritedListener,
    slot: ClientSlot,
    addresses: ProxiedAddresses | undefined,
    tls: ProxiedTls | undefined,
  ): void {
    if (socket.destroyed) {
      slot.release();
      return;
    }
    const connection: AcceptedConnection = {
      socket,
      peer: this.#peerOf(socket, kind, addresses, tls),
      listener: { kind, name, isTls },
      release: () => slot.release(),
    };
    try {
      slot.attach(this.#options.handler(connection, slot));
    } catch (error) {
      this.#options.log.error(
        'connection.failed',
        `Connection could not be started: ${error instanceof Error ? error.stack : String(error)}`,
        { error },
      );
      socket.destroy();
      slot.release();
    }
  }

  #peerOf(socket: ClientSocket, kind: 'inet' | 'unix', proxied: ProxiedAddresses | undefined, tls: ProxiedTls | undefined): Peer {
    if (kind === 'unix') return unixPeer;
    const remoteIp = plainIp(proxied?.remoteIp ?? socket.remoteAddress ?? '');
    const localIp = plainIp(proxied?.localIp ?? socket.localAddress ?? '');
    const isTrusted = this.#trusted.includes(remoteIp);
    return {
      remoteIp,
      remotePort: proxied?.remotePort ?? socket.remotePort ?? 0,
      localIp,
      localPort: proxied?.localPort ?? socket.localPort ?? 0,
      tls: tls === undefined ? undefined : proxiedTlsFacts(tls),
      isSecured: tls !== undefined || isTrusted || (remoteIp !== '' && remoteIp === localIp),
      isTrusted,
    };
  }

  #refuse(socket: ClientSocket, { kind, name, isTls }: InheritedListener, reason: string): void {
    this.#options.clients.countRefusal();
    const text = isTls ? undefined : this.#options.policy.refusal?.({ kind, name, isTls }, reason);
    // A TLS handshake costs more than the session it would refuse, so those clients see the connection end.
    if (text === undefined) socket.destroy();
    else {
      socket.end(text);
      socket.resume();
      setTimeout(() => socket.destroy(), refusalMs).unref();
    }
  }
}

/** Whoever may open the socket is trusted as far as the socket's mode says. */
const unixPeer: Peer = { remoteIp: '', remotePort: 0, localIp: '', localPort: 0, tls: undefined, isSecured: true, isTrusted: false };

function proxiedTlsFacts(tls: ProxiedTls): TlsFacts {
  return { protocol: tls.protocol, cipher: tls.cipher, bits: 0, serverName: tls.serverName, certUsername: tls.certCommonName };
}

const ignore = (): undefined => undefined;
