// A login as a login process does it, for `auth test` and `auth login`.
import type { AuthStep } from '#auth/client.js';
import type { Context } from './context.js';
import { AdminError } from './exit-codes.js';

export interface LoginAttempt {
  readonly user: string;
  readonly password: string;
  /** The password is this user's. */
  readonly masterUser: string | undefined;
  readonly socketPath: string | undefined;
  /** `rip=192.0.2.1`, ... */
  readonly info: readonly string[];
  /** Ask for the userdb fields, too. */
  readonly claims: boolean;
}

export interface LoginResult {
  readonly isSuccess: boolean;
  /** Auth could not find out. */
  readonly isTemporary: boolean;
  readonly fields: ReadonlyMap<string, string>;
  readonly userdb: ReadonlyMap<string, string> | undefined;
}

/** @throws AdminError when auth cannot be asked */
export async function authenticate(context: Context, attempt: LoginAttempt): Promise<LoginResult> {
  const facts = new Map(attempt.info.map(splitInfo));
  // Only on login sockets a success waits to be claimed.
  const names = attempt.claims ? ['login/login', 'auth-login'] : ['auth-client', 'login/login'];
  const auth = await context.authClient(attempt.socketPath, names);
  const exchange = auth.begin({
    mechanism: 'PLAIN',
    service: facts.get('service') ?? 'doveadm',
    sessionId: facts.get('session') ?? 'doveadm',
    peer: {
      remoteIp: facts.get('rip') ?? '',
      remotePort: Number(facts.get('rport') ?? 0),
      localIp: facts.get('lip') ?? '',
      localPort: Number(facts.get('lport') ?? 0),
      tls: undefined,
      // An administrator on this machine; plaintext is refused to strangers, not to them.
      isSecured: true,
      isTrusted: facts.has('no-penalty'),
    },
    initialResponse: Buffer.from(
      attempt.masterUser === undefined
        ? `\0${attempt.user}\0${attempt.password}`
        : `${attempt.user}\0${attempt.masterUser}\0${attempt.password}`,
    ),
  });
  const step = await exchange.next();
  if (step.kind === 'ok') {
    const fields = new Map([['user', step.user], ...Object.entries(step.fields).filter(([key]) => !key.startsWith('roost_'))]);
    return { isSuccess: true, isTemporary: false, fields, userdb: attempt.claims ? await claim(context, step) : undefined };
  }
  if (step.kind === 'continue') {
    exchange.cancel();
    throw new AdminError('temporary', 'auth asked for more than PLAIN has to say');
  }
  const fields = new Map([['user', step.user ?? attempt.user]]);
  if (step.code !== 'mismatch') fields.set('code', step.code);
  if (step.reason !== undefined) fields.set('reason', step.reason);
  return { isSuccess: false, isTemporary: step.code === 'temp_fail', fields, userdb: undefined };
}

async function claim(context: Context, step: Extract<AuthStep, { kind: 'ok' }>): Promise<ReadonlyMap<string, string>> {
  const master = await context.authMaster();
  const found = await master.claim({ loginPid: process.pid, authId: step.authId, cookie: step.cookie }, context.signal);
  if (found.kind !== 'found')
    throw new AdminError('temporary', found.kind === 'temp_fail' ? found.reason : 'auth does not know this login');
  return new Map([['user', found.user.user], ...Object.entries(found.user.fields)]);
}

function splitInfo(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
