// An auth role without sockets and processes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ClaimSealer } from '#auth/claim-token.js';
import type { PenaltyStore } from '#auth/penalty.js';
import type { SettingsOf } from '#config/define.js';
import type { Section } from '#config/settings-source.js';
import { type Logger, silentLogger } from '#log/logger.js';
import { type Authenticator, createAuthenticator } from '#services/auth/authenticator.js';
import { ClientConnection } from '#services/auth/client-connection.js';
import { type MasterAccess, MasterConnection } from '#services/auth/master-protocol.js';
import type { authSettings } from '#services/auth/settings.js';

type Settings = SettingsOf<typeof authSettings>;

export const defaultSettings: Settings = {
  auth_mechanisms: ['plain', 'login', 'cram-md5', 'scram-sha-256'],
  auth_realms: [],
  auth_default_realm: '',
  auth_username_chars: 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@',
  auth_username_translation: '',
  auth_username_format: '%Lu',
  auth_master_user_separator: '',
  auth_anonymous_username: 'anonymous',
  auth_cache_size: 1024 * 1024,
  auth_cache_ttl: 3_600_000,
  auth_cache_negative_ttl: 3_600_000,
  auth_failure_delay: 0,
  auth_verbose: false,
  auth_debug: false,
  auth_ssl_require_client_cert: false,
  auth_ssl_username_from_cert: false,
  first_valid_uid: 500,
  last_valid_uid: 0,
};

export interface Clock {
  nowMs: number;
}

export interface FixtureOptions {
  readonly settings?: Partial<Settings>;
  /** Text of a passwd-file; `PATH` in args stands for its place. */
  readonly users?: string;
  readonly passdbs?: readonly Readonly<Record<string, string>>[];
  readonly userdbs?: readonly Readonly<Record<string, string>>[];
  readonly penaltyStore?: PenaltyStore;
  readonly claims?: ClaimSealer;
  readonly log?: Logger;
  readonly clock?: Clock;
}

export interface Fixture {
  readonly authenticator: Authenticator;
  readonly clock: Clock;
  readonly path: string;
  /** Timers that the connections asked for. */
  readonly timers: { readonly ms: number; readonly then: () => void }[];
  rewrite(users: string): void;
  client(isLogin?: boolean): Wire;
  master(access?: MasterAccess): Wire;
}

/** One connection: what the server wrote, line by line. */
export class Wire {
  readonly lines: string[] = [];
  isEnded = false;
  #receiver: { receive(chunk: Buffer): void; close(): void } | undefined;
  #wakers: (() => void)[] = [];

  attach(receiver: { receive(chunk: Buffer): void; close(): void }): void {
    this.#receiver = receiver;
  }
  write(text: string): void {
    this.lines.push(...text.split('\n').slice(0, -1));
    for (const wake of this.#wakers.splice(0)) wake();
  }
  end(): void {
    this.isEnded = true;
    for (const wake of this.#wakers.splice(0)) wake();
  }
  send(text: string): void {
    this.#receiver?.receive(Buffer.from(text));
  }
  close(): void {
    this.#receiver?.close();
  }
  /** Takes the next `count` lines, waiting for them. */
  async take(count = 1): Promise<string[]> {
    while (this.lines.length < count && !this.isEnded) await new Promise<void>((resolve) => this.#wakers.push(resolve));
    return this.lines.splice(0, count);
  }
  /** Lines so far. */
  drain(): string[] {
    return this.lines.splice(0);
  }
}

export function section(kind: string, values: Readonly<Record<string, string>>, line = 1): Section {
  return { kind, name: '', values, sections: [], where: `roost.conf:${line}` };
}

export function createFixture(t: TestContext, options: FixtureOptions = {}): Fixture {
  const folder = mkdtempSync(join(tmpdir(), 'roost-auth-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'users');
  const rewrite = (users: string): void => writeFileSync(path, users);
  rewrite(options.users ?? 'bob:{PLAIN}secret:1000:1001::/home/bob::\n');
  const place = (values: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value.replaceAll('PATH', path)]));
  const clock = options.clock ?? { nowMs: 1_700_000_000_000 };
  const timers: { readonly ms: number; readonly then: () => void }[] = [];
  const authenticator = createAuthenticator({
    settings: { ...defaultSettings, ...options.settings },
    passdbs: (options.passdbs ?? [{ driver: 'passwd-file', args: 'PATH' }]).map((values, index) =>
      section('passdb', place(values), 10 + index),
    ),
    userdbs: (options.userdbs ?? [{ driver: 'passwd-file', args: 'PATH' }]).map((values, index) =>
      section('userdb', place(values), 20 + index),
    ),
    log: options.log ?? silentLogger,
    penaltyStore: options.penaltyStore,
    claims: options.claims,
    nowMs: () => clock.nowMs,
    delay: (ms, then) => {
      const timer = { ms, then };
      timers.push(timer);
      return { cancel: () => timers.splice(timers.indexOf(timer), 1) };
    },
  });
  let connections = 0;
  return {
    authenticator,
    clock,
    path,
    timers,
    rewrite,
    client(isLogin = false) {
      const wire = new Wire();
      connections += 1;
      wire.attach(new ClientConnection(authenticator, wire, isLogin, connections));
      return wire;
    },
    master(access = { kind: 'full' }) {
      const wire = new Wire();
      wire.attach(new MasterConnection(authenticator, wire, access));
      return wire;
    },
  };
}

/** SASL PLAIN's response. */
export function plainResponse(user: string, password: string, authorizationId = ''): string {
  return Buffer.from(`${authorizationId}\0${user}\0${password}`).toString('base64');
}
