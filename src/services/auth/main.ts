// The auth role: answers login processes, mail processes, Postfix and Exim on UNIX sockets.
import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { ClaimSealer } from '#auth/claim-token.js';
import { authListenerKind, authRequestTimeoutMs } from '#auth/interface.js';
import { peerCredentials } from '#auth/peer-credentials.js';
import type { AcceptedConnection, ClientHandle, Role, ServiceContext } from '#service-kit/role.js';
import { Deadlines } from '#util/deadlines.js';
import { type Authenticator, createAuthenticator } from './authenticator.js';
import { ClientConnection, type ProtocolSink } from './client-connection.js';
import { type MasterAccess, MasterConnection } from './master-protocol.js';
import { authSettings } from './settings.js';

/** A peer that does not read its answers is not listened to either. */
const maxUnsentBytes = 1024 * 1024;

/** How often a process that shall end looks for connections without open requests. */
const drainLookMs = 100;

interface Receiver {
  receive(chunk: Buffer): void;
  close(): void;
  readonly openRequests: number;
}

export const role: Role = {
  name: 'auth',
  settings: [authSettings],
  sections: ['passdb', 'userdb'],
  start(context) {
    const authenticator = createAuthenticator({
      settings: context.settings.get(authSettings),
      passdbs: context.settings.sections('passdb'),
      userdbs: context.settings.sections('userdb'),
      log: context.log,
      claims: context.claimKeys?.secret === undefined ? undefined : new ClaimSealer(Buffer.from(context.claimKeys.secret, 'base64')),
      penaltyStore: context.anvil,
      count: (name) => context.count(name),
      nowMs: Date.now,
      delay: timers(),
    });
    const caches = [authenticator.cache, authenticator.verified].flatMap((cache) => cache ?? []);
    if (caches.length > 0) {
      context.addTotals(() => {
        const statistics = caches.map((cache) => cache.statistics());
        return {
          'auth-cache-hits': statistics.reduce((sum, { hits }) => sum + hits, 0),
          'auth-cache-misses': statistics.reduce((sum, { misses }) => sum + misses, 0),
        };
      });
    }
    context.onReload(() => {
      void authenticator.flush([]).then((count) => {
        context.log.info('auth.cache', `SIGHUP received, ${count} cache entries flushed`, { count });
      });
    });
    let connections = 0;
    const open = new Set<() => void>();
    endWhenIdle(context, open);
    context.onConnection((connection) => {
      connections += 1;
      return serve(context, authenticator, connection, { id: connections, open });
    });
    return Promise.resolve(async () => authenticator.failures.close());
  },
};

/** Each request may time out, and hardly any does. */
function timers(): (ms: number, then: () => void) => { cancel(): void } {
  const timeouts = new Deadlines<{ readonly then: () => void }>(authRequestTimeoutMs, ({ then }) => then());
  return (ms, then) => {
    if (ms === authRequestTimeoutMs) return timeouts.add({ then });
    const timer = setTimeout(then, ms);
    return { cancel: () => clearTimeout(timer) };
  };
}

/**
 * Login and mail processes keep their connections for life. When this process is replaced (reload), each connection is closed as soon as
 * nothing is open on it, and its owner connects to the new process.
 * @param open each ends its connection if it is idle
 */
function endWhenIdle(context: ServiceContext, open: ReadonlySet<() => void>): void {
  const look = (): void => {
    for (const endIfIdle of open) endIfIdle();
    if (open.size > 0) setTimeout(look, drainLookMs);
  };
  context.stopping.addEventListener('abort', look, { once: true });
}

interface Place {
  /** Unique in this process. */
  readonly id: number;
  readonly open: Set<() => void>;
}

function serve(context: ServiceContext, authenticator: Authenticator, connection: AcceptedConnection, { id, open }: Place): ClientHandle {
  const { socket, listener } = connection;
  const startedAtMs = Date.now();
  let receiver: Receiver | undefined;
  const kind = authListenerKind(listener.name);
  const endIfIdle = (): void => {
    if (receiver && receiver.openRequests > 0) return;
    // A login that this process accepted can be claimed only here.
    if (kind === 'master' && authenticator.finished.size > 0) return;
    socket.end();
  };
  open.add(endIfIdle);
  const finish = (): void => {
    open.delete(endIfIdle);
    receiver?.close();
    connection.release();
  };
  socket.on('error', finish);
  socket.on('close', finish);
  let unsent = '';
  const flush = (): void => {
    const text = unsent;
    unsent = '';
    if (text !== '' && socket.writable) socket.write(text);
  };
  const sink: ProtocolSink = {
    write(text) {
      // Lines of one turn of the event loop leave in one write. What mail processes ask is mostly answered before the turn goes on, and all answers to
      // a chunk together: a turn of its own would cost another look for events.
      if (unsent === '') {
        if (kind === 'master') process.nextTick(flush);
        else setImmediate(flush);
      }
      unsent += text;
      if (socket.writableLength > maxUnsentBytes && !socket.isPaused()) {
        socket.pause();
        socket.once('drain', () => socket.resume());
      }
    },
    end: () => {
      flush();
      socket.end();
    },
  };
  const attach = (made: Receiver): void => {
    receiver = made;
    socket.on('data', (chunk: Buffer) => made.receive(chunk));
  };
  if (kind === 'client' || kind === 'login') attach(new ClientConnection(authenticator, sink, kind === 'login', id));
  else if (kind === 'token') socket.destroy();
  else if (kind === 'master') attach(new MasterConnection(authenticator, sink, { kind: 'full' }));
  else {
    userdbAccess(context, socket, listener.name).then(
      (access) => {
        if (access) attach(new MasterConnection(authenticator, sink, access));
        else socket.destroy();
      },
      (error: unknown) => {
        context.log.error('auth.userdb.access', `Cannot tell who connected to ${listener.name}: ${String(error)}`);
        socket.destroy();
      },
    );
  }
  return {
    startedAtMs,
    isPreAuth: false,
    // Peers reconnect to the next auth process and repeat what was not answered.
    stop: () => socket.end(),
  };
}

/** root, this process's user, and the socket's owner and group may look up everybody; others themselves. */
async function userdbAccess(context: ServiceContext, socket: Duplex, name: string): Promise<MasterAccess | undefined> {
  const peer = await peerCredentials(socket);
  if (!peer) return undefined;
  const path = isAbsolute(name) ? name : join(context.baseDir, name);
  const owner = await stat(path).catch(() => undefined);
  const isPrivileged = peer.uid === 0 || peer.uid === process.geteuid?.() || peer.uid === owner?.uid || peer.gid === owner?.gid;
  return isPrivileged ? { kind: 'userdb' } : { kind: 'own', uid: peer.uid };
}
