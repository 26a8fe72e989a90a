// The stats role: the figures of all services over HTTP, for Prometheus and whatever reads its format (docs/metrics.md).
//
// It listens only where a `service stats { inet_listener }` says so, holds no figures itself and knows no secrets. One request for each connection:
// the address and method are looked at, a body is not read, and everything has a deadline.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AcceptedConnection, ClientHandle, Role, ServiceContext } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';

const maxHeaderBytes = 8_192;
const maxHeaderFields = 50;
/** From the connection to the end of the answer. */
const requestTimeoutMs = 15_000;
/** When the server stops. */
const answerMs = 500;

const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
const textType = 'text/plain; version=0.0.4; charset=utf-8';

export const role: Role = {
  name: 'stats',
  settings: [tlsSettings],
  start(context) {
    const server = createServer({ maxHeaderSize: maxHeaderBytes, insecureHTTPParser: false }, (request, response) => {
      answer(context, request, response).catch((error: unknown) => {
        context.log.error('stats.failed', `The figures are not to be had: ${String(error)}`, { error });
        end(response, 503, 'The figures are not to be had, see the log.\n');
      });
    });
    server.maxHeadersCount = maxHeaderFields;
    server.maxRequestsPerSocket = 1;
    context.onConnection((connection) => serve(context, server, connection));
    return Promise.resolve(() => Promise.resolve());
  },
};

/** Node's server looks after the deadlines of connections that it has accepted itself only, so here is one for the whole. */
function serve(context: ServiceContext, server: Server, connection: AcceptedConnection): ClientHandle {
  const { socket, listener } = connection;
  const deadline = setTimeout(() => socket.destroy(), requestTimeoutMs);
  socket.on('close', () => {
    clearTimeout(deadline);
    connection.release();
  });
  if (listener.isTls) {
    context.startTls(connection, Buffer.alloc(0)).then(
      ({ stream }) => takeStream(server, stream),
      (error: unknown) => context.log.debug('stats.tls', `TLS handshaking: ${String(error)}`),
    );
  } else takeStream(server, socket);
  // An answer is a matter of milliseconds: one that is under way may be finished.
  const stop = (): void => void setTimeout(() => socket.destroy(), answerMs).unref();
  return { isPreAuth: false, startedAtMs: Date.now(), stop };
}

function takeStream(server: Server, stream: Duplex): void {
  // Its parser works on any stream, as with TLS; the type says socket.
  server.emit('connection', stream as Socket);
}

async function answer(context: ServiceContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').replace(/\?.*$/s, '');
  if (path !== '/metrics') return end(response, 404, 'Not found. The figures are at /metrics.\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return end(response, 405, 'Only GET and HEAD.\n');
  }
  const isOpenMetrics = (request.headers.accept ?? '').includes('application/openmetrics-text');
  const text = await context.metrics(isOpenMetrics ? 'openmetrics' : 'text');
  end(response, 200, text, isOpenMetrics ? openMetricsType : textType);
}

function end(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const octets = Buffer.from(text);
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': octets.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    Connection: 'close',
  });
  response.end(octets);
}
