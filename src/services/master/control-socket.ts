// The master's side of base_dir/master (see ipc/master-client.ts).
import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { encodeFrame, FrameDecoder } from '#ipc/frame.js';
import { type MasterReply, type MasterRequest, masterSocketPath } from '#ipc/master-client.js';
import type { Logger } from '#log/logger.js';
import { unlinkIfSocket } from './listeners.js';

const maxRequestBytes = 64 * 1024;
const requestTimeoutMs = 30_000;

export class ControlSocket {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** A socket that an earlier run left is replaced: the pid file has already shown that nobody else runs. */
  static async open(baseDir: string, log: Logger, answer: (request: MasterRequest) => Promise<MasterReply>): Promise<ControlSocket> {
    const path = masterSocketPath(baseDir);
    unlinkIfSocket(path);
    const server = createServer((socket) => serve(socket, log, answer));
    const control = new ControlSocket(server, path);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    return control;
  }

  /** Ends open connections, too: whoever waits for the end of the server learns it that way. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    unlinkIfSocket(this.#path);
  }
}

function serve(socket: Socket, log: Logger, answer: (request: MasterRequest) => Promise<MasterReply>): void {
  const decoder = new FrameDecoder(maxRequestBytes);
  let isAsked = false;
  socket.setTimeout(requestTimeoutMs, () => {
    if (!isAsked) socket.destroy();
  });
  socket.on('error', () => undefined);
  const reply = (value: MasterReply, keepsOpen: boolean): void => {
    if (!socket.writable) return;
    if (keepsOpen) socket.write(encodeFrame(value));
    else socket.end(encodeFrame(value));
  };
  socket.on('data', (chunk: Buffer) => {
    try {
      decoder.push(chunk);
      const frame = decoder.next();
      if (frame === undefined || isAsked) return;
      isAsked = true;
      const request = parseRequest(frame.value);
      answer(request).then(
        (value) => reply(value, request.command === 'stop'),
        (error: unknown) => {
          log.error('control.failed', `control request ${request.command} failed: ${String(error)}`, { error });
          reply({ ok: false, problems: [`${request.command} failed, see the log`] }, false);
        },
      );
    } catch (error) {
      reply({ ok: false, problems: [error instanceof Error ? error.message : String(error)] }, false);
    }
  });
}

/** @throws TypeError */
export function parseRequest(value: unknown): MasterRequest {
  const command = typeof value === 'object' && value !== null && 'command' in value ? value.command : undefined;
  switch (command) {
    case 'reload':
    case 'stop':
    case 'reopen-logs':
    case 'service-status':
    case 'metrics':
      return { command };
    case 'process-status':
    case 'service-stop': {
      const services = typeof value === 'object' && value !== null && 'services' in value ? value.services : [];
      if (!Array.isArray(services) || !services.every((name) => typeof name === 'string'))
        throw new TypeError('services must be a list of names');
      return { command, services };
    }
    default:
      throw new TypeError(`unknown command ${JSON.stringify(command)}`);
  }
}
