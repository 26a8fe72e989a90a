// The auth role's parts put together from settings; no sockets here, so that tests and `roostadm` can run it in their own process.
import { AuthCache } from '#auth/auth-cache.js';
import { AuthChain } from '#auth/chain.js';
import type { ClaimSealer } from '#auth/claim-token.js';
import { buildDatabases } from '#auth/databases.js';
import { createExpander } from '#auth/expander.js';
import { PassdbChecker } from '#auth/passdb-check.js';
import { PasswdFiles } from '#auth/passwd-file.js';
import { Penalties, type PenaltyStore } from '#auth/penalty.js';
import { SystemUsers } from '#auth/system-users.js';
import { UserdbReader } from '#auth/userdb-read.js';
import type { UsernameRules } from '#auth/username.js';
import { VerifiedPasswords } from '#auth/verified-passwords.js';
import type { SettingsOf } from '#config/define.js';
import type { Section } from '#config/settings-source.js';
import type { Logger } from '#log/logger.js';
import type { SaslMechanism } from '#sasl/mechanism.js';
import { findMechanism, mechanismNames } from '#sasl/mechanisms.js';
import type { ClientConnectionContext } from './client-connection.js';
import { FailureDelay } from './failure-delay.js';
import { FinishedRequests } from './finished-requests.js';
import { Leases } from './leases.js';
import type { MasterConnectionContext } from './master-protocol.js';
import type { authSettings } from './settings.js';

/** Smaller caches hold next to nothing and are surely a mistake in the unit. */
const leastCacheBytes = 1024;
/** As long as it takes to notice that a passwd-file has changed: a password that is changed holds no longer anywhere. */
const longestKeepMs = 1_000;
/** Mechanisms known from Dovecot that a configuration may name. */
const laterMechanisms = new Set([
  'DIGEST-MD5',
  'APOP',
  'OTP',
  'ANONYMOUS',
  'GSSAPI',
  'GSS-SPNEGO',
  'NTLM',
  'OAUTHBEARER',
  'XOAUTH2',
  'RPA',
  'SKEY',
]);

export interface AuthenticatorOptions {
  readonly settings: SettingsOf<typeof authSettings>;
  readonly passdbs: readonly Section[];
  readonly userdbs: readonly Section[];
  readonly log: Logger;
  /** Undefined: logins are not sealed. */
  readonly claims?: ClaimSealer | undefined;
  /** Undefined: no penalties. */
  readonly penaltyStore: PenaltyStore | undefined;
  readonly count?: ClientConnectionContext['count'];
  readonly nowMs: () => number;
  readonly delay: ClientConnectionContext['delay'];
  /** For tests. */
  readonly passwdPath?: string;
}

/** Everything a connection of either protocol needs. */
export interface Authenticator extends ClientConnectionContext, Omit<MasterConnectionContext, 'log'> {
  readonly files: PasswdFiles;
  readonly cache: AuthCache | undefined;
  readonly verified: VerifiedPasswords | undefined;
}

/** @throws Error with every problem of the passdb and userdb blocks, one a line, each with file and line */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { settings, log, nowMs } = options;
  const problems: string[] = [];
  const mechanisms = readMechanisms(settings.auth_mechanisms, problems, log);
  const expand = createExpander();
  const files = new PasswdFiles({ log, nowMs });
  const systemUsers = new SystemUsers({ files, nowMs, ...(options.passwdPath === undefined ? {} : { passwdPath: options.passwdPath }) });
  const isCaching = settings.auth_cache_size > 0 && settings.auth_cache_ttl > 0;
  if (isCaching && settings.auth_cache_size < leastCacheBytes) {
    problems.push(`auth_cache_size value is too small (${settings.auth_cache_size} bytes)`);
  }
  const cacheOptions = {
    maxBytes: settings.auth_cache_size,
    ttlMs: settings.auth_cache_ttl,
    negativeTtlMs: settings.auth_cache_negative_ttl,
    nowMs,
  };
  const cache = isCaching ? new AuthCache(cacheOptions) : undefined;
  const leases = isCaching ? new Leases({ nowMs, delay: options.delay }) : undefined;
  const verified = isCaching ? new VerifiedPasswords(cacheOptions) : undefined;
  // A userdb may ask the passdbs, which are made together with it.
  const late: { chain: AuthChain | undefined } = { chain: undefined };
  const built = buildDatabases(options.passdbs, options.userdbs, {
    files,
    expand,
    passwdPath: systemUsers.passwdPath,
    uidRange: [settings.first_valid_uid, settings.last_valid_uid],
    existsInPassdb: async (state) => late.chain?.exists(state) ?? 'unsure',
  });
  problems.push(...built.problems);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  if (built.passdbs.length === 0) log.error('auth.config.no-passdb', 'No passdbs specified in configuration file, nobody can log in');
  const chain = new AuthChain({
    log,
    passdbs: built.passdbs,
    userdbs: built.userdbs,
    checker: new PassdbChecker({ log, cache, verified, expand }),
    reader: new UserdbReader(cache, expand),
    systemUsers,
    isVerbose: settings.auth_verbose || settings.auth_debug,
  });
  late.chain = chain;
  const usernames: UsernameRules = {
    defaultRealm: settings.auth_default_realm,
    allowedChars: settings.auth_username_chars,
    translation: settings.auth_username_translation,
    format: settings.auth_username_format,
    masterSeparator: settings.auth_master_user_separator,
  };
  const isVerbose = settings.auth_verbose || settings.auth_debug;
  return {
    exchange: { chain, usernames, expand, log, isVerbose, takesUsernameFromCert: settings.auth_ssl_username_from_cert },
    mechanisms,
    failures: new FailureDelay({ delayMs: settings.auth_failure_delay, nowMs }),
    finished: new FinishedRequests(nowMs),
    claims: options.claims,
    keepMs: isCaching ? Math.min(settings.auth_cache_ttl, longestKeepMs) : 0,
    penalties: options.penaltyStore ? new Penalties(options.penaltyStore, nowMs) : undefined,
    log,
    requiresClientCert: settings.auth_ssl_require_client_cert,
    delay: options.delay,
    count: options.count,
    chain,
    usernames,
    expand,
    cache,
    verified,
    files,
    leases,
    async flush(users) {
      const count = cache?.flush(users) ?? 0;
      // A file that was replaced a moment ago counts at once, too.
      files.clear();
      await leases?.voidAll();
      return count;
    },
  };
}

function readMechanisms(names: readonly string[], problems: string[], log: Logger): readonly SaslMechanism[] {
  const found: SaslMechanism[] = [];
  for (const name of names) {
    const mechanism = findMechanism(name);
    if (mechanism) found.push(mechanism);
    else if (laterMechanisms.has(name.toUpperCase())) {
      log.warning('auth.mechanism.later', `auth_mechanisms: ${name} is not implemented yet, it is not offered`, { mechanism: name });
    } else problems.push(`auth_mechanisms: Unknown authentication mechanism '${name}' (known: ${mechanismNames.join(' ').toLowerCase()})`);
  }
  if (found.length === 0) problems.push('auth_mechanisms: no mechanism is left to offer');
  return found;
}
