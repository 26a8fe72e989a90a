// Settings of the server as a whole, read by the master.
import { boolean, choice, defineSettings, list, size, string, time, uint } from '../define.js';

export const generalSettings = defineSettings('general', {
  base_dir: string('/run/roost', 'Directory of sockets and of files that live as long as the server'),
  instance_name: string('roost', 'Name of this instance in process titles'),
  protocols: list('imap pop3 lmtp', 'Protocols to serve: imap, pop3, lmtp, smtp'),
  listen: list('*, ::', 'Addresses to listen on where a listener names none; * is all of IPv4, :: all of IPv6'),
  default_internal_user: string('dovecot', 'User of the processes that need no rights'),
  default_internal_group: string('dovecot', 'Group of the processes that need no rights'),
  default_login_user: string('dovenull', 'User of the login processes, which trust nobody; must own nothing'),
  default_process_limit: uint('100', 'process_limit of services that set none'),
  default_client_limit: uint('1000', 'client_limit of services that set none'),
  default_idle_kill: time('1 mins', 'idle_kill of services that set none'),
  default_vsz_limit: size('256 M', 'vsz_limit of services that set none: heap and data of one process; 0: no limit', { unlimited: true }),
  shutdown_clients: boolean('yes', 'Stopping the server ends the sessions; no: they may finish'),
  verbose_proctitle: boolean('no', 'Show user and address of sessions in process titles'),
  process_templates: boolean(
    'yes',
    'Processes with a service_count of up to 16 are copies of one that is ready; no: each is a program of its own, which takes ten times the CPU and has addresses of its own',
  ),
  process_practice: boolean(
    'yes',
    'Processes without a service_count play sessions with themselves while nobody is connected, so that their first clients find compiled what they need; takes each up to 4 s of processor time after its start',
  ),
  import_environment: string(
    'TZ CORE_OUTOFMEM CORE_ERROR LISTEN_PID LISTEN_FDS NOTIFY_SOCKET',
    'Environment variables passed on; key=value sets one',
  ),
  ssl_ticket_key_interval: time('1 hour', 'How often the keys of TLS session tickets change; tickets hold up to twice as long; 0: never'),
});

export const loggingSettings = defineSettings('logging', {
  log_path: string('syslog', 'Where messages go: syslog, a file, /dev/stderr'),
  info_log_path: string('', 'Where informational messages go; empty: log_path'),
  debug_log_path: string('', 'Where debug messages go; empty: info_log_path'),
  log_timestamp: string('%b %d %H:%M:%S ', 'Time stamp of lines in files, as for strftime'),
  log_format: choice(
    ['auto', 'text', 'json'],
    'auto',
    'Form of lines: text as Dovecot’s, or one JSON object a line; auto: text on a terminal',
  ),
  syslog_facility: string('mail', 'Facility of messages to syslog'),
  syslog_socket: string('/dev/log', 'Socket of the system logger; where there is none, standard error takes its place'),
  log_debug: string('', 'Events to write debug messages for; any value turns them on'),
  mail_debug: boolean('no', 'Debug messages of mail processes'),
});
