// Load clients (test/bench/load) in tests: against servers of the test's own, to their end or to the error they tell of.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import type { Endpoint } from '../bench/load/line-connection.js';
import { nativeProgram } from '../bench/load/native-build.js';
import { NativeLoad, type Played } from '../bench/load/native-client.js';
import type { WorkerPlan } from '../bench/load/plan.js';
import { ScriptLoad } from '../bench/load/script-client.js';

export const password = 'not-to-be-told';
export const longMs = 60_000;
const program = await nativeProgram();
export const skip = program === undefined ? 'no g++ here' : false;

export interface Client {
  run(durationMs: number, most: number): Promise<Played>;
  end(): Promise<void>;
}

export function native(endpoint: Endpoint, plans: readonly WorkerPlan[]): Promise<Client> {
  assert.ok(program !== undefined);
  return NativeLoad.start({ program, endpoint, password, plans });
}

/** The client in TypeScript, which takes its place. */
export function script(endpoint: Endpoint, plans: readonly WorkerPlan[]): Promise<Client> {
  return ScriptLoad.start({ endpoint, password, plans });
}

export async function play(client: Client, most: number, durationMs = longMs): Promise<Played> {
  try {
    return await client.run(durationMs, most);
  } finally {
    await client.end();
  }
}

/** The error's text, which never holds the password. */
export async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail('it has not failed'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error);
  assert.doesNotMatch(error.message, new RegExp(password));
  return error.message;
}

/** On a port of 127.0.0.1; its connections end with it. */
export async function listening(server: Server, tls: boolean): Promise<{ readonly endpoint: Endpoint } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    endpoint: { host: '127.0.0.1', port: address.port, tls },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
