// The administrator's side of the master's control socket, base_dir/master: one JSON frame asks, one answers, then the connection ends.
// Whoever may connect (the socket's mode and owner say who) may do everything.
import { connect } from 'node:net';
import { join } from 'node:path';
import { CodedError, errnoOf } from '#util/coded-error.js';
import { encodeFrame, FrameDecoder } from './frame.js';

export type MasterRequest =
  /** Reads the configuration again; the answer comes when the new processes are being started, or says what is wrong. */
  | { readonly command: 'reload' }
  /** Ends the server; the answer comes at once, the connection's end when it is over. */
  | { readonly command: 'stop' }
  | { readonly command: 'reopen-logs' }
  | { readonly command: 'service-status' }
  /** The same figures and more, in Prometheus's text format. */
  | { readonly command: 'metrics' }
  /** All services when empty. */
  | { readonly command: 'process-status'; readonly services: readonly string[] }
  /** Ends the processes of these services; they are started again when needed. */
  | { readonly command: 'service-stop'; readonly services: readonly string[] };

export interface ServiceStatus {
  readonly name: string;
  /** Processes that count against process_limit. */
  readonly processCount: number;
  readonly processLimit: number;
  readonly processAvailable: number;
  readonly clientLimit: number;
  readonly serviceCount: number;
  readonly processMinAvail: number;
  readonly clients: number;
  /** Logged-in users that wait for a process. */
  readonly waiting: number;
  readonly isThrottled: boolean;
  /** Milliseconds since the epoch. */
  readonly lastDropAt: number | undefined;
  readonly started: number;
  readonly failed: number;
  readonly pushedOut: number;
  readonly refused: number;
  readonly limitReached: number;
}

export interface ProcessStatusRow {
  readonly service: string;
  readonly pid: number;
  readonly generation: number;
  readonly phase: 'starting' | 'ready' | 'leaving' | 'draining';
  readonly clients: number;
  /** Clients it can still take. */
  readonly available: number;
  readonly served: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly idleSince: number | undefined;
  /** `uid:gid` it runs with; '' is the service's own. */
  readonly identity: string;
  /** Octets; 0 when not known. */
  readonly rssBytes: number;
}

/** A process of which those of the service are copies; it serves nobody itself. */
export interface TemplateStatusRow {
  readonly service: string;
  readonly pid: number;
  readonly generation: number;
  readonly isReady: boolean;
  /** Processes made of it. */
  readonly copies: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Octets; 0 when not known. */
  readonly rssBytes: number;
}

export type MasterReply =
  | {
      readonly ok: true;
      readonly warnings?: readonly string[];
      readonly services?: readonly ServiceStatus[];
      readonly processes?: readonly ProcessStatusRow[];
      /** With `processes`. */
      readonly templates?: readonly TemplateStatusRow[];
      readonly metrics?: string;
    }
  /** Each with file and line where there is one. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** `not-running`: nobody listens. `denied`: not allowed to connect. */
export class MasterClientError extends CodedError<'not-running' | 'denied' | 'timeout' | 'failed'> {
  override readonly name = 'MasterClientError';
}

export function masterSocketPath(baseDir: string): string {
  return join(baseDir, 'master');
}

/**
 * Asks the running master.
 * @param untilEnd wait for the end of the connection after the answer (`stop`: until the server is gone)
 * @throws MasterClientError
 */
export async function askMaster(
  baseDir: string,
  request: MasterRequest,
  options: { readonly timeoutMs: number; readonly untilEnd?: boolean },
): Promise<MasterReply> {
  const path = masterSocketPath(baseDir);
  return await new Promise((resolve, reject) => {
    const socket = connect(path);
    const decoder = new FrameDecoder();
    let reply: MasterReply | undefined;
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const fail = (code: MasterClientError['code'], text: string, cause?: unknown): void =>
      finish(() => reject(new MasterClientError(code, text, { cause })));
    const timer = setTimeout(() => fail('timeout', `${path} did not answer within ${options.timeoutMs} ms`), options.timeoutMs);
    socket.on('connect', () => socket.write(encodeFrame(request)));
    socket.on('data', (chunk: Buffer) => {
      try {
        decoder.push(chunk);
        const frame = decoder.next();
        if (frame === undefined || reply !== undefined) return;
        const answer = parseReply(frame.value);
        reply = answer;
        if (options.untilEnd !== true) finish(() => resolve(answer));
      } catch (error) {
        fail('failed', `${path} gave an answer that cannot be read`, error);
      }
    });
    socket.on('error', (error) => {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ECONNREFUSED') fail('not-running', `nothing listens on ${path}`, error);
      else if (errno === 'EACCES') fail('denied', `${path}: permission denied`, error);
      else fail('failed', `${path}: ${error.message}`, error);
    });
    socket.on('close', () => {
      const answer = reply;
      if (answer === undefined) fail('failed', `${path} closed the connection without an answer`);
      else finish(() => resolve(answer));
    });
  });
}

/** The master is trusted with the contents; only the outline is checked. */
function parseReply(value: unknown): MasterReply {
  if (typeof value !== 'object' || value === null || !('ok' in value) || typeof value.ok !== 'boolean') {
    throw new TypeError('not a reply of the master');
  }
  return value as MasterReply;
}
