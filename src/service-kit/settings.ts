// Settings of every process that takes connections. The master sends them to each child beside the groups of its role.
import { boolean, choice, defineSettings, list, type SettingsGroup, string, time, uint } from '#config/define.js';

export const connectionSettings = defineSettings('connections', {
  login_trusted_networks: list(
    '',
    'Networks from which plaintext passwords are acceptable and whose forwarded client addresses are believed',
  ),
  haproxy_trusted_networks: list('', 'Networks of the proxies that may connect to listeners with haproxy = yes'),
  haproxy_timeout: time('3 secs', 'Longest time to wait for the PROXY protocol header'),
  busy_max_lag: time('70 msecs', 'Event-loop delay past which a process lets new clients wait; 0 turns load shedding off'),
  busy_max_memory: uint(
    '90',
    'Percentage of the memory limit (the control group, or the machine) past which a process lets new clients wait',
  ),
  tcp_keepalive: time('120 secs', 'Idle time after which TCP probes whether the client is still there; 0 turns probes off'),
});

const defaultCiphers = 'ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH';

export const tlsSettings = defineSettings('tls', {
  ssl: choice(['no', 'yes', 'required'], 'yes', 'TLS is offered; required: no plaintext authentication without it'),
  ssl_cert: string('', 'Certificate chain in PEM, usually read from a file: </etc/ssl/certs/mail.pem'),
  ssl_key: string('', 'Private key in PEM', { secret: true }),
  ssl_key_password: string('', 'Password of the private key', { secret: true }),
  ssl_alt_cert: string('', 'Second certificate with another kind of key (RSA beside ECDSA)'),
  ssl_alt_key: string('', 'Private key of the second certificate', { secret: true }),
  ssl_ca: string('', 'Certificate authorities for client certificates, in PEM'),
  ssl_verify_client_cert: boolean('no', 'Ask clients for a certificate'),
  ssl_cert_username_field: string('commonName', 'Field of the client certificate that names the user'),
  ssl_min_protocol: choice(
    ['ANY', 'SSLv3', 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3', 'LATEST'],
    'TLSv1.2',
    'Oldest protocol version that is accepted',
  ),
  ssl_cipher_list: string(defaultCiphers, 'Ciphers up to TLS 1.2, in OpenSSL notation'),
  ssl_cipher_suites: string('', 'TLS 1.3 cipher suites; empty: the library decides'),
  ssl_curve_list: string('', 'Curves for key exchange; empty: the library decides'),
  ssl_prefer_server_ciphers: boolean('no', "The server's order of ciphers wins"),
  ssl_dh: string('', 'Diffie-Hellman parameters in PEM; empty: the library chooses'),
  ssl_options: list('', 'no_ticket: no session tickets; no_compression and compression are accepted, there is no compression'),
});

/** All groups of the kit: the first goes to every process, the second to those whose role declares it. */
export const kitSettings: readonly SettingsGroup[] = [connectionSettings, tlsSettings];
