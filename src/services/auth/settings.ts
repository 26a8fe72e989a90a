// Settings of the auth role.
import { boolean, defineSettings, list, size, string, time, uint } from '#config/define.js';

export const authSettings = defineSettings('auth', {
  auth_mechanisms: list('plain', 'SASL mechanisms offered: plain login cram-md5 scram-sha-1 scram-sha-256 external'),
  auth_realms: list('', 'Realms offered to mechanisms that know them; none of the present ones does'),
  auth_default_realm: string('', 'Domain added to user names without one'),
  auth_username_chars: string(
    'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@',
    'Characters allowed in user names; empty allows all',
  ),
  auth_username_translation: string('', 'Pairs of characters: each second one replaces the first in user names'),
  auth_username_format: string('%Lu', 'How the user name is written before databases are asked; %variables'),
  auth_master_user_separator: string('', 'Character between user and master user in a login name; empty: off'),
  auth_anonymous_username: string('anonymous', 'User name of anonymous logins'),
  // Dovecot's default is 0 (off). Here success of slow hashes is remembered under the same size, which a login server wants from the first day;
  // drivers that may be cached at all name what they depend on, and passwd-file is never cached.
  auth_cache_size: size('10M', 'Memory for remembered lookups and remembered successes of slow password hashes; 0 switches both off'),
  auth_cache_ttl: time('1 hour', 'How long a remembered answer is used; 0 switches the cache off'),
  auth_cache_negative_ttl: time('1 hour', 'The same for unknown users and wrong passwords; 0: not remembered'),
  auth_failure_delay: time('2 secs', 'Time before a failure is answered'),
  auth_verbose: boolean('no', 'Log why authentications failed'),
  auth_debug: boolean('no', 'Log each request'),
  auth_ssl_require_client_cert: boolean('no', 'Refuse every authentication without a valid client certificate'),
  auth_ssl_username_from_cert: boolean('no', 'The user name is the one of the client certificate, whatever the client sends'),
  first_valid_uid: uint('500', 'Lowest uid that may have mail'),
  last_valid_uid: uint('0', 'Highest uid that may have mail; 0: no limit'),
});
