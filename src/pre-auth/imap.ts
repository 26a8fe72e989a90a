// IMAP before login (RFC 3501 section 6.1 and 6.2, with ID, SASL-IR, LITERAL+, STARTTLS).
import type { AuthFailure } from '#auth/client.js';
import { type ImapArgument, ImapInput } from './imap-input.js';
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

/** RFC 2971 section 3.3. */
const maxIdFields = 30;
const maxIdValueBytes = 1024;

const alertPlaintext =
  '* BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.\r\n';

const wait: PreAuthStep = { kind: 'wait' };

export class ImapPreAuth implements PreAuthMachine {
  readonly service = 'imap';
  readonly #input = new ImapInput();
  #offer: PreAuthOffer | undefined;
  #badCommands = 0;
  #tag = '*';
  #isExchanging = false;
  #askedCapability = false;
  #clientId = '';
  #idText = '';

  offer(offer: PreAuthOffer): void {
    this.#offer = offer;
    // What the client learned before TLS counts for nothing (RFC 3501 section 6.2.1).
    if (offer.isTls) this.#askedCapability = false;
  }

  greeting(): string {
    return `* OK [CAPABILITY ${this.#capabilities()}] ${this.#offer?.greeting ?? ''}\r\n`;
  }

  push(chunk: Buffer): void {
    this.#input.push(chunk);
  }

  get size(): number {
    return this.#input.size;
  }

  takeRest(): Buffer {
    return this.#input.takeRest();
  }

  next(): PreAuthStep {
    if (this.#isExchanging) return this.#nextResponse();
    const step = this.#input.next();
    switch (step.kind) {
      case 'wait':
        return wait;
      case 'literal':
        return { kind: 'reply', text: '+ OK\r\n' };
      case 'bad':
        return this.#bad(step.tag);
      case 'too-big':
        if (step.isFatal) return { kind: 'end', text: '* BYE Input is too long.\r\n', reason: 'Input is too long' };
        return this.#bad(step.tag, 'Literal is too long.');
      case 'command':
        return this.#run(step.tag, step.name, step.args);
    }
  }

  challenge(octets: Buffer): string {
    return `+ ${octets.toString('base64')}\r\n`;
  }

  authFailed(failure: AuthFailure, reason: string | undefined, where: string, referral?: string): string {
    this.#isExchanging = false;
    const { code, text } = failureText(failure, reason === undefined ? undefined : oneLine(reason), where);
    if (failure === 'auth_mech_invalid') return `${this.#tag} NO [ALERT] ${text}\r\n`;
    if (failure === 'invalid_base64' || failure === 'aborted') return `${this.#tag} BAD ${text}\r\n`;
    if (referral !== undefined) return `${this.#tag} NO [REFERRAL ${oneLine(referral)}] ${text}\r\n`;
    return `${this.#tag} NO ${code === undefined ? '' : `[${code}] `}${text}\r\n`;
  }

  stillWaiting(): string {
    return '* OK Waiting for authentication process to respond..\r\n';
  }

  refusal(kind: RefusalKind, text: string): string {
    this.#isExchanging = false;
    const line = `[UNAVAILABLE] ${text}\r\n`;
    return kind === 'user-limit' ? `${this.#tag} NO ${line}` : `* BYE ${line}${this.#tag} NO ${line}`;
  }

  bye(text: string): string {
    return `* BYE ${text}\r\n`;
  }

  get retainedId(): string | undefined {
    return this.#offer?.retainsId && this.#idText !== '' ? this.#idText : undefined;
  }

  handoffFields(): Readonly<Record<string, string>> {
    return {
      tag: this.#tag,
      capability: this.#askedCapability ? 'asked' : '',
      ...(this.#clientId === '' ? {} : { id: this.#clientId }),
    };
  }

  #run(tag: string, name: string, args: readonly ImapArgument[]): PreAuthStep {
    const ok = (text: string, untagged = ''): PreAuthStep => ({ kind: 'reply', text: `${untagged}${tag} OK ${text}\r\n` });
    switch (name) {
      case 'CAPABILITY':
        if (args.length > 0) return this.#bad(tag);
        this.#askedCapability = true;
        return ok('Pre-login capabilities listed, post-login capabilities have more.', `* CAPABILITY ${this.#capabilities()}\r\n`);
      case 'NOOP':
        return args.length > 0 ? this.#bad(tag) : ok('NOOP completed.');
      case 'LOGOUT':
        if (args.length > 0) return this.#bad(tag);
        return { kind: 'logout', text: `* BYE Logging out\r\n${tag} OK Logout completed.\r\n` };
      case 'ID':
        return this.#identify(tag, args);
      case 'STARTTLS':
        return this.#startTls(tag, args);
      case 'LOGIN':
        return this.#login(tag, args);
      case 'AUTHENTICATE':
        return this.#authenticate(tag, args);
      default:
        return this.#bad(tag);
    }
  }

  #startTls(tag: string, args: readonly ImapArgument[]): PreAuthStep {
    if (args.length > 0) return this.#bad(tag);
    if (this.#offer?.isTls) return this.#bad(tag, 'TLS is already active.');
    if (!this.#offer?.offersTls) return this.#bad(tag, "TLS support isn't enabled.");
    return { kind: 'starttls', text: `${tag} OK Begin TLS negotiation now.\r\n` };
  }

  #login(tag: string, args: readonly ImapArgument[]): PreAuthStep {
    const [user, password] = args;
    if (args.length !== 2 || !user || !password || user.kind === 'list' || password.kind === 'list') return this.#bad(tag);
    const refused = this.#refuseInsecure(tag, true);
    if (refused) return refused;
    if (user.octets.includes(0) || password.octets.includes(0)) return this.#bad(tag);
    this.#tag = tag;
    return { kind: 'auth', mechanism: 'PLAIN', initialResponse: plainMessage(user.octets, password.octets), user: user.octets.toString() };
  }

  #authenticate(tag: string, args: readonly ImapArgument[]): PreAuthStep {
    const [mechanism, initial] = args;
    if (mechanism?.kind !== 'atom' || args.length > 2 || (initial && initial.kind === 'list')) return this.#bad(tag);
    const name = mechanism.octets.toString('latin1').toUpperCase();
    const offered = this.#offer?.mechanisms.find((known) => known.name === name);
    const refused = this.#refuseInsecure(tag, offered?.isPlaintext ?? false);
    if (refused) return refused;
    if (!offered) return { kind: 'reply', text: `${tag} NO [ALERT] Unsupported authentication mechanism.\r\n`, note: 'mechanism-refused' };
    this.#tag = tag;
    const text = initial?.octets.toString('latin1');
    // A lone = is an empty initial response (RFC 4959).
    const response = text === undefined ? undefined : text === '=' ? Buffer.alloc(0) : parseBase64(text);
    if (text !== undefined && (response === undefined || response.length > maxSaslResponseBytes)) {
      return { kind: 'reply', text: `${tag} BAD Invalid base64 data in initial response\r\n`, note: 'bad-base64' };
    }
    this.#isExchanging = true;
    return { kind: 'auth', mechanism: name, initialResponse: response, user: '' };
  }

  #nextResponse(): PreAuthStep {
    const line = this.#input.nextLine();
    if (line === undefined) return wait;
    if (line === 'too-long') return { kind: 'end', text: '* BYE Input is too long.\r\n', reason: 'Input is too long' };
    const text = line.toString('latin1');
    if (text === '*') return this.#abort('Authentication aborted by client.', 'aborted');
    const octets = parseBase64(text);
    if (octets === undefined || octets.length > maxSaslResponseBytes)
      return this.#abort('Invalid base64 data in continued response', 'bad-base64');
    return { kind: 'response', octets };
  }

  #abort(text: string, note: PreAuthNote): PreAuthStep {
    this.#isExchanging = false;
    return { kind: 'abort', text: `${this.#tag} BAD ${text}\r\n`, note };
  }

  #refuseInsecure(tag: string, isPlaintext: boolean): PreAuthStep | undefined {
    if (this.#offer?.requiresTls) {
      const alert = isPlaintext ? alertPlaintext : '';
      return { kind: 'reply', text: `${alert}${tag} NO [PRIVACYREQUIRED] ${tlsRequired}\r\n`, note: 'tls-required' };
    }
    if (!isPlaintext || this.#offer?.allowsPlaintext) return undefined;
    return { kind: 'reply', text: `${alertPlaintext}${tag} NO [PRIVACYREQUIRED] ${plaintextRefused}\r\n`, note: 'plaintext-refused' };
  }

  #identify(tag: string, args: readonly ImapArgument[]): PreAuthStep {
    const [list] = args;
    if (args.length !== 1 || !list) return this.#bad(tag);
    const fields: (readonly [string, string])[] = [];
    if (list.kind === 'list') {
      if (list.items.length % 2 !== 0 || list.items.length > maxIdFields * 2) return this.#bad(tag);
      for (let index = 0; index + 1 < list.items.length; index += 2) {
        const name = list.items[index];
        const value = list.items[index + 1];
        if (name?.kind !== 'string' || !value || value.kind === 'list' || value.octets.length > maxIdValueBytes) return this.#bad(tag);
        if (value.kind === 'string') fields.push([name.octets.toString().toLowerCase(), value.octets.toString()]);
        else if (value.octets.toString('latin1').toUpperCase() !== 'NIL') return this.#bad(tag);
      }
    } else if (list.kind !== 'atom' || list.octets.toString('latin1').toUpperCase() !== 'NIL') return this.#bad(tag);
    this.#clientId = fields.length === 0 ? '' : JSON.stringify(Object.fromEntries(fields));
    this.#idText = fields.flatMap((field) => field.map(quoted)).join(' ');
    return { kind: 'client-id', text: `* ID ${this.#offer?.idReply ?? 'NIL'}\r\n${tag} OK ID completed.\r\n`, fields };
  }

  #bad(tag: string, text = 'Error in IMAP command received by server.'): PreAuthStep {
    this.#badCommands += 1;
    if (this.#badCommands < maxBadCommands) return { kind: 'reply', text: `${tag} BAD ${text}\r\n` };
    return { kind: 'end', text: `${tag} BAD ${text}\r\n* BYE Too many invalid IMAP commands.\r\n`, reason: 'Too many invalid commands' };
  }

  #capabilities(): string {
    const offer = this.#offer;
    const words = ['IMAP4rev1', 'SASL-IR', 'LOGIN-REFERRALS', 'ID', 'ENABLE', 'IDLE', offer?.isLiteralMinus ? 'LITERAL-' : 'LITERAL+'];
    if (offer?.offersTls) words.push('STARTTLS');
    if (!offer?.allowsPlaintext || offer.requiresTls) words.push('LOGINDISABLED');
    if (!offer?.requiresTls) {
      for (const { name, isPlaintext } of offer?.mechanisms ?? []) if (!isPlaintext || offer?.allowsPlaintext) words.push(`AUTH=${name}`);
    }
    return words.join(' ');
  }
}

/** For one line of the protocol with auth. */
function quoted(text: string): string {
  return `"${text.replace(/[\x00-\x1f\x7f]/g, '').replace(/["\\]/g, '\\$&')}"`;
}

/** Reasons come from databases and may not break the line. */
function oneLine(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]+/g, ' ').slice(0, 500);
}
