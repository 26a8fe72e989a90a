// The line about each login and each connection that ended before: login_log_format and login_log_format_elements.

import type { SettingsOf } from '#config/define.js';
import { compileTemplate, type Template } from '#config/expand.js';
import type { Peer } from '#ipc/peer.js';

import type { loginSettings } from './settings.js';

export interface LoginFacts {
  /** '' before any attempt. */
  readonly user: string;
  readonly method: string;
  readonly peer: Peer;
  readonly sessionId: string;
  readonly service: string;
  /** Undefined before the hand-off. */
  readonly mailPid: number | undefined;
  /** Master user, '' when none. */
  readonly authUser: string;
  readonly listener: string;
}

interface Element {
  readonly template: Template;
  readonly names: readonly string[];
  readonly isAlwaysShown: boolean;
}

const userNames = new Set(['u', 'user', 'n', 'username']);

export class LoginLogFormat {
  readonly #elements: readonly Element[];
  /** login_log_format. */
  readonly source: string;

  constructor(format: string, elements: readonly string[]) {
    this.source = format;
    this.#elements = elements.map((text) => {
      const template = compileTemplate(text);
      // `user=<>` says that nobody tried to log in.
      const names = [...template.names];
      return { template, names, isAlwaysShown: template.isConstant || names.some((name) => userNames.has(name)) };
    });
  }

  /** @param message what happened: `Login`, `Disconnected: ...` */
  format(message: string, facts: LoginFacts): string {
    const lookup = (name: string): string | undefined => loginVariable(facts, name);
    const shown: string[] = [];
    for (const { template, names, isAlwaysShown } of this.#elements) {
      if (isAlwaysShown || names.some((name) => (lookup(name) ?? '') !== '')) shown.push(printable(template.expand(lookup)));
    }
    return this.source.replace(/%[$s%]/g, (name) => (name === '%$' ? message : name === '%s' ? shown.join(', ') : '%'));
  }
}

const formats = new WeakMap<readonly string[], LoginLogFormat>();

/** The whole line, by the settings. Their lists are shared by all connections, so the compiled form is too. */
export function formatLoginLine(settings: SettingsOf<typeof loginSettings>, message: string, facts: LoginFacts): string {
  const elements = settings.login_log_format_elements;
  let known = formats.get(elements);
  if (known?.source !== settings.login_log_format) {
    known = new LoginLogFormat(settings.login_log_format, elements);
    formats.set(elements, known);
  }
  return known.format(message, facts);
}

/** The same facts as typed fields. */
export function loginFields({ user, method, peer, sessionId }: LoginFacts): Readonly<Record<string, unknown>> {
  const { remoteIp, localIp, tls } = peer;
  return { user: printable(user), method, remoteIp, localIp, session: sessionId, isTls: tls !== undefined };
}

function loginVariable(facts: LoginFacts, name: string): string | undefined {
  const { user, peer } = facts;
  const at = user.indexOf('@');
  switch (name) {
    case 'u':
    case 'user':
      return user;
    case 'n':
    case 'username':
      return at < 0 ? user : user.slice(0, at);
    case 'd':
    case 'domain':
      return at < 0 ? '' : user.slice(at + 1);
    case 's':
    case 'service':
    case 'protocol':
      return facts.service;
    case 'm':
    case 'mech':
    case 'mechanism':
      return facts.method;
    case 'r':
    case 'rip':
    case 'remote_ip':
    case 'real_rip':
    case 'real_remote_ip':
      return peer.remoteIp;
    case 'l':
    case 'lip':
    case 'local_ip':
    case 'real_lip':
    case 'real_local_ip':
      return peer.localIp;
    case 'a':
    case 'lport':
    case 'local_port':
      return peer.localPort === 0 ? '' : String(peer.localPort);
    case 'b':
    case 'rport':
    case 'remote_port':
      return peer.remotePort === 0 ? '' : String(peer.remotePort);
    case 'e':
    case 'mail_pid':
      return facts.mailPid === undefined ? '' : String(facts.mailPid);
    case 'p':
      return String(process.pid);
    case 'c':
    case 'secured':
      return peer.tls ? 'TLS' : peer.isSecured ? 'secured' : '';
    case 'k':
    case 'ssl_security':
      return peer.tls ? `${peer.tls.protocol} with cipher ${peer.tls.cipher} (${peer.tls.bits}/${peer.tls.bits} bits)` : '';
    case 'local_name':
      return peer.tls?.serverName ?? '';
    case 'session':
      return facts.sessionId;
    case 'auth_user':
      return facts.authUser === '' ? user : facts.authUser;
    case 'listener':
      return facts.listener;
    default:
      return undefined;
  }
}

/** Names come from the network: no control characters in a log line. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?').slice(0, 512);
}
