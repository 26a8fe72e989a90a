// POP3 before login (RFC 1939 section 4, RFC 2449 CAPA, RFC 2595 STLS, RFC 5034 AUTH).
import type { AuthFailure } from '#auth/client.js';
import {
  failureText,
  maxBadCommands,
  maxSaslResponseBytes,
  type PreAuthMachine,
  type PreAuthNote,
  type PreAuthOffer,
  type PreAuthStep,
  parseBase64,
  plainMessage,
  plaintextRefused,
  type RefusalKind,
  tlsRequired,
} from './machine.js';

/** Commands have 255 octets by RFC 2449; long passwords are seen in practice, and AUTH carries an initial response. */
export const maxPop3LineBytes = 8192;

const wait: PreAuthStep = { kind: 'wait' };

/** POP3 has few response codes (RFC 2449, RFC 3206). */
const codes: Readonly<Record<string, string>> = { UNAVAILABLE: 'SYS/TEMP', CONTACTADMIN: 'SYS/PERM' };

export class Pop3PreAuth implements PreAuthMachine {
  readonly service = 'pop3';
  #buffered: Buffer = Buffer.alloc(0);
  #offer: PreAuthOffer | undefined;
  #badCommands = 0;
  #user: Buffer | undefined;
  #isExchanging = false;

  offer(offer: PreAuthOffer): void {
    this.#offer = offer;
    if (offer.isTls) this.#user = undefined;
  }

  greeting(): string {
    return `+OK ${this.#offer?.greeting ?? ''}\r\n`;
  }

  push(chunk: Buffer): void {
    this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
  }

  get size(): number {
    return this.#buffered.length;
  }

  takeRest(): Buffer {
    const rest = this.#buffered;
    this.#buffered = Buffer.alloc(0);
    return rest;
  }

  next(): PreAuthStep {
    const end = this.#buffered.indexOf(10);
    if (end > maxPop3LineBytes + 1 || (end < 0 && this.#buffered.length > maxPop3LineBytes + 1)) {
      return { kind: 'end', text: '-ERR Input line is too long.\r\n', reason: 'Input line is too long' };
    }
    if (end < 0) return wait;
    const isCrLf = end > 0 && this.#buffered[end - 1] === 13;
    const line = this.#buffered.subarray(0, isCrLf ? end - 1 : end);
    this.#buffered = this.#buffered.subarray(end + 1);
    return this.#isExchanging ? this.#takeResponse(line.toString('latin1')) : this.#run(line);
  }

  challenge(octets: Buffer): string {
    return `+ ${octets.toString('base64')}\r\n`;
  }

  authFailed(failure: AuthFailure, reason: string | undefined, where: string): string {
    this.#isExchanging = false;
    this.#user = undefined;
    const { code, text } = failureText(failure, reason?.replace(/[\x00-\x1f\x7f]+/g, ' ').slice(0, 400), where);
    return code === undefined ? `-ERR ${text}\r\n` : `-ERR [${codes[code] ?? 'AUTH'}] ${text}\r\n`;
  }

  stillWaiting(): string {
    return '';
  }

  refusal(kind: RefusalKind, text: string): string {
    return `-ERR [${kind === 'user-limit' ? 'IN-USE' : 'SYS/TEMP'}] ${text}\r\n`;
  }

  bye(text: string): string {
    return `-ERR ${text}\r\n`;
  }

  handoffFields(): Readonly<Record<string, string>> {
    return {};
  }

  #run(line: Buffer): PreAuthStep {
    const space = line.indexOf(32);
    const name = line.toString('latin1', 0, space < 0 ? line.length : space).toUpperCase();
    // Passwords may hold and begin with blanks: exactly one blank separates (RFC 1939 section 3).
    const argument = space < 0 ? Buffer.alloc(0) : line.subarray(space + 1);
    switch (name) {
      case 'CAPA':
        return { kind: 'reply', text: `+OK\r\n${this.#capabilities()}.\r\n` };
      case 'USER':
        return this.#takeUser(argument);
      case 'PASS':
        return this.#takePassword(argument);
      case 'AUTH':
        return this.#authenticate(argument.toString('latin1'));
      case 'STLS':
        if (this.#offer?.isTls) return this.#bad('TLS is already active.');
        if (!this.#offer?.offersTls) return this.#bad("TLS support isn't enabled.");
        return { kind: 'starttls', text: '+OK Begin TLS negotiation now.\r\n' };
      case 'NOOP':
        return { kind: 'reply', text: '+OK\r\n' };
      case 'QUIT':
        return { kind: 'logout', text: '+OK Logging out\r\n' };
      default:
        return this.#bad('Unknown command.');
    }
  }

  #takeUser(argument: Buffer): PreAuthStep {
    const refused = this.#refuseInsecure(true);
    if (refused) return refused;
    if (argument.length === 0 || argument.includes(0)) return this.#bad('No username given.');
    this.#user = Buffer.from(argument);
    return { kind: 'reply', text: '+OK\r\n' };
  }

  #takePassword(argument: Buffer): PreAuthStep {
    const refused = this.#refuseInsecure(true);
    if (refused) return refused;
    const user = this.#user;
    if (!user) return this.#bad('No username given.');
    if (argument.includes(0)) return this.#bad('Invalid password.');
    return { kind: 'auth', mechanism: 'PLAIN', initialResponse: plainMessage(user, argument), user: user.toString() };
  }

  #authenticate(argument: string): PreAuthStep {
    const [rawName = '', initial, ...more] = argument.split(' ').filter((word) => word !== '');
    const name = rawName.toUpperCase();
    if (name === '')
      return {
        kind: 'reply',
        text: `+OK\r\n${this.#usableMechanisms()
          .map((word) => `${word}\r\n`)
          .join('')}.\r\n`,
      };
    if (more.length > 0) return this.#bad('Invalid AUTH command.');
    const offered = this.#offer?.mechanisms.find((known) => known.name === name);
    const refused = this.#refuseInsecure(offered?.isPlaintext ?? false);
    if (refused) return refused;
    if (!offered) return { kind: 'reply', text: '-ERR [AUTH] Unsupported authentication mechanism.\r\n', note: 'mechanism-refused' };
    const response = initial === undefined ? undefined : initial === '=' ? Buffer.alloc(0) : parseBase64(initial);
    if (initial !== undefined && (response === undefined || response.length > maxSaslResponseBytes)) {
      return { kind: 'reply', text: '-ERR Invalid base64 data in initial response\r\n', note: 'bad-base64' };
    }
    this.#isExchanging = true;
    return { kind: 'auth', mechanism: name, initialResponse: response, user: '' };
  }

  #takeResponse(text: string): PreAuthStep {
    if (text === '*') return this.#abort('Authentication aborted by client.', 'aborted');
    const octets = parseBase64(text);
    if (octets === undefined || octets.length > maxSaslResponseBytes)
      return this.#abort('Invalid base64 data in continued response', 'bad-base64');
    return { kind: 'response', octets };
  }

  #abort(text: string, note: PreAuthNote): PreAuthStep {
    this.#isExchanging = false;
    return { kind: 'abort', text: `-ERR ${text}\r\n`, note };
  }

  #refuseInsecure(isPlaintext: boolean): PreAuthStep | undefined {
    if (this.#offer?.requiresTls) return { kind: 'reply', text: `-ERR [AUTH] ${tlsRequired}\r\n`, note: 'tls-required' };
    if (!isPlaintext || this.#offer?.allowsPlaintext) return undefined;
    return { kind: 'reply', text: `-ERR [AUTH] ${plaintextRefused}\r\n`, note: 'plaintext-refused' };
  }

  #bad(text: string): PreAuthStep {
    this.#badCommands += 1;
    if (this.#badCommands < maxBadCommands) return { kind: 'reply', text: `-ERR ${text}\r\n` };
    return { kind: 'end', text: `-ERR ${text}\r\n-ERR Too many invalid bad commands.\r\n`, reason: 'Too many invalid commands' };
  }

  #usableMechanisms(): readonly string[] {
    const offer = this.#offer;
    if (!offer || offer.requiresTls) return [];
    return offer.mechanisms.filter(({ isPlaintext }) => !isPlaintext || offer.allowsPlaintext).map(({ name }) => name);
  }

  #capabilities(): string {
    const lines = ['CAPA', 'TOP', 'UIDL', 'RESP-CODES', 'PIPELINING', 'AUTH-RESP-CODE'];
    const offer = this.#offer;
    if (offer?.offersTls) lines.push('STLS');
    if (offer?.allowsPlaintext && !offer.requiresTls) lines.push('USER');
    const mechanisms = this.#usableMechanisms();
    if (mechanisms.length > 0) lines.push(`SASL ${mechanisms.join(' ')}`);
    return lines.map((line) => `${line}\r\n`).join('');
  }
}
