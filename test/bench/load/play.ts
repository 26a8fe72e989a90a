// Plays plans against a server with the client in C++, or, where there is no compiler for it, with the one in TypeScript; figures tell which.
import { type Peer, type Protocol, password } from '../peers/peer.js';
import { treeCpuMs } from '../processes.js';
import { nativeProgram } from './native-build.js';
import { NativeLoad } from './native-client.js';
import type { WorkerPlan } from './plan.js';
import type { LoadResult } from './run.js';
import { ScriptLoad } from './script-client.js';

export interface PlayOptions {
  readonly peer: Peer;
  readonly protocol: Protocol;
  readonly plans: readonly WorkerPlan[];
}

/** The same load, by sessions and by commands. */
export interface PlayResult {
  readonly sessions: LoadResult;
  readonly commands: LoadResult;
}

/** @param most sessions, or requests of held workers, after which it ends as well */
export type Play = (durationMs: number, most?: number) => Promise<PlayResult>;

/** More than any load comes to: a bound, no goal. */
const mostEver = 1_000_000;

/**
 * Held workers are logged in when `work` begins and log out when it has ended.
 * @throws Error with the server's words as soon as something is not answered with OK
 */
export async function withPlay<Result>({ peer, protocol, plans }: PlayOptions, work: (play: Play) => Promise<Result>): Promise<Result> {
  const program = await nativeProgram();
  const options = { endpoint: peer.endpoint(protocol), password, plans };
  const load = program === undefined ? await ScriptLoad.start(options) : await NativeLoad.start({ program, ...options });
  try {
    return await work(async (durationMs, most = mostEver) => {
      const cpuBefore = treeCpuMs(peer.pid);
      const { seconds, sessions, commands, clientCpuMs } = await load.run(durationMs, most);
      const serverCpuMs = treeCpuMs(peer.pid) - cpuBefore;
      const client = program === undefined ? 'TypeScript' : 'C++';
      const result = (latencies: readonly number[]): LoadResult => ({
        count: latencies.length,
        seconds,
        latencies,
        serverCpuMs,
        clientCpuMs,
        client,
      });
      return { sessions: result(sessions), commands: result(commands) };
    });
  } finally {
    await load.end();
  }
}
