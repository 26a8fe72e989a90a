// State of one SMTP or LMTP conversation: which command may come now, and what it gets. Octets, timers and TLS are connection.ts.
import type { AuthMasterClient } from '#auth/client.js';
import { userUid } from '#auth/user-uid.js';
import { type BeginOptions, type Recipient, RecipientDelivery, type UserOpener } from '#delivery/deliver.js';
import { findRecipient, type RecipientLookup, type RecipientRules } from '#delivery/recipient.js';
import type { Peer } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import type { MailPath } from '#protocol/smtp/address.js';
import type { Parameters, SmtpCommand } from '#protocol/smtp/commands.js';
import { reply, type SmtpReply } from '#protocol/smtp/reply.js';
import type { DeliveryText } from './delivery-log.js';
import { failureReply } from './outcome-reply.js';
import { type OpenUserProcess, RemoteDelivery } from './remote-delivery.js';
import { receivedField } from './trace-header.js';
import { type BodyVerdict, type Delivered, type Delivery, type Envelope, MessageIntake } from './transaction.js';

export interface SessionOptions {
  readonly protocol: 'smtp' | 'lmtp';
  readonly hostname: string;
  readonly rules: RecipientRules;
  readonly maxMessageBytes: number;
  readonly maxRecipients: number;
  readonly refusesBareNewline: boolean;
  readonly addsReceived: boolean;
  readonly deliveredTo: 'final' | 'none' | 'original';
  readonly savesToDetailMailbox: boolean;
  readonly autocreate: boolean;
  readonly autosubscribe: boolean;
  readonly isFullTemporary: boolean;
  /** LMTP: a recipient who is over quota is refused before the data (SMTP always does so). */
  readonly checksQuotaAtRcpt: boolean;
  readonly offersTls: boolean;
  readonly deliverLogText: DeliveryText;
  /** The conversation is with a process of ours that has taken the message from outside (remote-delivery.ts). */
  readonly isInner: boolean;
}

export interface SessionParts {
  readonly auth: AuthMasterClient;
  readonly store: UserOpener;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly count: (name: 'saved' | 'save-failed') => void;
  /** May this process deliver to a user with this uid? */
  readonly mayServe: (uid: number | undefined) => boolean;
  /** To those it may not deliver to itself; undefined where there is no other way. */
  readonly openUserProcess: OpenUserProcess | undefined;
}

/** What the connection does after a command. */
export type Step =
  | { readonly kind: 'reply'; readonly replies: readonly SmtpReply[]; readonly isError: boolean }
  /** Take dot-stuffed data now. */
  | { readonly kind: 'data'; readonly replies: readonly SmtpReply[]; readonly intake: MessageIntake }
  /** Take `size` octets now, then call `finishChunk`. */
  | {
      readonly kind: 'chunk';
      readonly size: number;
      readonly isLast: boolean;
      readonly intake: MessageIntake | undefined;
      readonly refusal: SmtpReply | undefined;
    }
  | { readonly kind: 'starttls'; readonly replies: readonly SmtpReply[] }
  | { readonly kind: 'quit'; readonly replies: readonly SmtpReply[] };

const answer = (...replies: readonly SmtpReply[]): Step => ({ kind: 'reply', replies, isError: false });
const refuse = (code: number, enhanced: string, text: string): Step => ({
  kind: 'reply',
  replies: [reply(code, enhanced, text)],
  isError: true,
});

const senderTaken = answer(reply(250, '2.1.0', 'OK'));
const recipientTaken = answer(reply(250, '2.1.5', 'OK'));
const goAhead = [reply(354, undefined, 'OK')];

const knownMailParameters = new Set(['SIZE', 'BODY', 'SMTPUTF8']);

export class SmtpSession {
  readonly #options: SessionOptions;
  readonly #parts: SessionParts;
  readonly #lookups = new AbortController();
  readonly #sessionId: string;
  #peer: Peer;
  #helo = '';
  #isExtended = false;
  #envelope: Envelope | undefined;
  #isUtf8 = false;
  /** The message that is being taken. */
  #intake: MessageIntake | undefined;
  /** It comes in chunks (BDAT). */
  #chunked: MessageIntake | undefined;
  #messages = 0;

  constructor(options: SessionOptions, parts: SessionParts, peer: Peer, sessionId: string) {
    this.#options = options;
    this.#parts = parts;
    this.#peer = peer;
    this.#sessionId = sessionId;
  }

  greeting(): SmtpReply {
    return reply(220, undefined, `${this.#options.hostname} ${this.#options.protocol === 'lmtp' ? 'LMTP' : 'ESMTP'} Roost ready.`);
  }

  /** For the log at disconnect. */
  get state(): string {
    if (this.#envelope === undefined) return this.#helo === '' ? 'GREETING' : 'READY';
    return this.#envelope.recipients.length === 0 ? 'MAIL FROM' : 'RCPT TO';
  }

  /** Whether `finishData` wants to know of them. */
  get refusesBareNewline(): boolean {
    return this.#options.refusesBareNewline;
  }

  get messageCount(): number {
    return this.#messages;
  }

  /** RFC 3207 4.2: everything the client said before TLS is forgotten. */
  async tlsStarted(peer: Peer): Promise<void> {
    this.#peer = peer;
    this.#helo = '';
    await this.reset();
  }

  async reset(): Promise<void> {
    const envelope = this.#envelope;
    const intake = this.#intake;
    this.#intake = undefined;
    this.#chunked = undefined;
    this.#envelope = undefined;
    this.#isUtf8 = false;
    if (intake !== undefined) await intake.abort();
    else if (envelope !== undefined) await Promise.all(envelope.recipients.map((delivery) => delivery.abort()));
  }

  /** At once where nothing has to be waited for. */
  handle(command: SmtpCommand): Step | Promise<Step> {
    if (
      this.#chunked !== undefined &&
      command.kind !== 'bdat' &&
      command.kind !== 'rset' &&
      command.kind !== 'quit' &&
      command.kind !== 'noop'
    ) {
      return refuse(503, '5.5.1', 'Error: BDAT in progress');
    }
    switch (command.kind) {
      case 'helo':
      case 'ehlo':
      case 'lhlo':
        return this.#hello(command.kind, command.domain);
      case 'mail':
        return this.#mail(command.path, command.parameters);
      case 'rcpt':
        return this.#rcpt(command.path, command.parameters);
      case 'data':
        return this.#data();
      case 'bdat':
        return this.#bdat(command.size, command.isLast);
      case 'rset':
        return this.reset().then(() => answer(reply(250, '2.0.0', 'OK')));
      case 'noop':
        return answer(reply(250, '2.0.0', 'OK'));
      case 'help':
        return answer(reply(214, '2.0.0', 'See RFC 5321'));
      case 'vrfy':
        return answer(reply(252, '2.3.3', 'Try RCPT instead'));
      case 'xclient':
        return this.#xclient(command.attributes);
      case 'starttls':
        if (!this.#options.offersTls) return refuse(502, '5.5.1', 'TLS is not available');
        return this.#peer.tls !== undefined
          ? refuse(503, '5.5.1', 'TLS is already active')
          : { kind: 'starttls', replies: [reply(220, '2.0.0', 'Begin TLS negotiation now.')] };
      case 'quit':
        return { kind: 'quit', replies: [reply(221, '2.0.0', 'Bye')] };
      case 'bad':
        return refuse(command.code, command.enhanced, command.text);
    }
  }

  async #hello(kind: 'helo' | 'ehlo' | 'lhlo', domain: string): Promise<Step> {
    if ((kind === 'lhlo') !== (this.#options.protocol === 'lmtp'))
      return refuse(500, '5.5.1', this.#options.protocol === 'lmtp' ? 'Error: this is LMTP, use LHLO' : 'Error: this is SMTP, use EHLO');
    await this.reset();
    this.#helo = domain;
    this.#isExtended = kind !== 'helo';
    if (kind === 'helo') return answer(reply(250, undefined, this.#options.hostname));
    const lines = [
      this.#options.hostname,
      'PIPELINING',
      `SIZE ${this.#options.maxMessageBytes}`,
      '8BITMIME',
      'SMTPUTF8',
      'ENHANCEDSTATUSCODES',
      'CHUNKING',
    ];
    if (this.#options.offersTls && this.#peer.tls === undefined) lines.push('STARTTLS');
    if (this.#peer.isTrusted) lines.push('XCLIENT ADDR PORT HELO PROTO SESSION');
    return answer(reply(250, undefined, ...lines));
  }

  #mail(path: MailPath, parameters: Parameters): Step {
    if (this.#helo === '') return refuse(503, '5.5.1', `Error: send ${this.#options.protocol === 'lmtp' ? 'LHLO' : 'EHLO'} first`);
    if (this.#envelope !== undefined) return refuse(503, '5.5.1', 'Error: MAIL already given');
    for (const name of parameters.keys()) {
      if (!this.#isExtended || !knownMailParameters.has(name)) return refuse(555, '5.5.4', `Unsupported option: ${name}`);
    }
    const body = parameters.get('BODY')?.toUpperCase();
    if (parameters.has('BODY') && body !== '7BIT' && body !== '8BITMIME') return refuse(501, '5.5.4', 'Unsupported BODY value');
    const sizeText = parameters.get('SIZE');
    if (parameters.has('SIZE') && !/^\d{1,20}$/.test(sizeText ?? '')) return refuse(501, '5.5.4', 'Invalid SIZE value');
    const size = sizeText === undefined ? undefined : Number(sizeText);
    if (size !== undefined && size > this.#options.maxMessageBytes)
      return refuse(552, '5.3.4', `Message size exceeds the limit of ${this.#options.maxMessageBytes} octets`);
    this.#isUtf8 = parameters.has('SMTPUTF8');
    if (path.isUtf8 && !this.#isUtf8) return refuse(553, '5.6.7', 'UTF-8 address needs SMTPUTF8');
    this.#envelope = { sender: path, expectedBytes: size, recipients: [] };
    return senderTaken;
  }

  async #rcpt(path: MailPath, parameters: Parameters): Promise<Step> {
    const envelope = this.#envelope;
    if (envelope === undefined) return refuse(503, '5.5.1', 'Error: need MAIL command');
    for (const name of parameters.keys()) return refuse(555, '5.5.4', `Unsupported option: ${name}`);
    if (path.isUtf8 && !this.#isUtf8) return refuse(553, '5.6.7', 'UTF-8 address needs SMTPUTF8');
    if (envelope.recipients.length >= this.#options.maxRecipients) return refuse(452, '4.5.3', 'Too many recipients');
    const found = await this.#findRecipient(path);
    switch (found.kind) {
      case 'temp-fail':
        this.#parts.log.error('smtp.lookup-failed', `Recipient lookup failed for ${path.text}: ${found.reason}`, { recipient: path.text });
        return refuse(451, '4.3.0', `<${path.text}> Temporary internal error`);
      case 'unknown':
        return this.#options.protocol === 'smtp' && !found.isLocalDomain
          ? refuse(550, '5.7.1', `<${path.text}> Relaying denied: no such user here`)
          : refuse(550, '5.1.1', `<${path.text}> User doesn't exist: ${path.text}`);
      case 'found': {
        const isOwn = this.#parts.mayServe(userUid(found.user));
        if (!isOwn && this.#parts.openUserProcess === undefined) {
          const text = `Can't deliver to ${path.text}: the user has uid ${found.user.fields['uid'] ?? '(none)'}, this process another`;
          this.#parts.log.error('smtp.no-identity', text, { recipient: path.text });
          return refuse(451, '4.3.0', `<${path.text}> Temporary internal error`);
        }
        const mailbox = this.#options.savesToDetailMailbox && found.detail !== '' ? found.detail : 'INBOX';
        const isKnown = envelope.recipients.some(
          ({ recipient }) => recipient.user.user === found.user.user && recipient.mailbox === mailbox,
        );
        // In SMTP the same mailbox gets one copy; LMTP owes one outcome for each RCPT.
        if (this.#options.protocol === 'smtp' && isKnown) return recipientTaken;
        return this.#addRecipient(envelope, { user: found.user, address: path.text, mailbox }, isOwn);
      }
    }
  }

  async #findRecipient(path: MailPath): Promise<RecipientLookup> {
    const { signal } = this.#lookups;
    try {
      return await findRecipient(this.#parts.auth, path, this.#options.rules, this.#options.protocol, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      return { kind: 'temp-fail', reason: 'the server is shutting down' };
    }
  }

  /** The connection shall end: what only waits for others before there is a message (auth, a process of the user's) waits no longer. */
  stopLookups(): void {
    this.#lookups.abort();
  }

  #addRecipient(envelope: Envelope, recipient: Recipient, isOwn: boolean): Step | Promise<Step> {
    const { openUserProcess } = this.#parts;
    const delivery =
      isOwn || openUserProcess === undefined
        ? new RecipientDelivery(recipient)
        : new RemoteDelivery(recipient, { sender: envelope.sender.text, isUtf8: this.#isUtf8 }, openUserProcess);
    // SMTP has only one reply after the data, so a mailbox that is full or broken must be refused now. Where another process delivers, the
    // one that the client talks to may be an SMTP one.
    const { protocol, isInner, checksQuotaAtRcpt } = this.#options;
    if (protocol === 'smtp' || isInner || delivery.isRemote || checksQuotaAtRcpt) return this.#beginAtRcpt(envelope, delivery);
    envelope.recipients.push(delivery);
    return recipientTaken;
  }

  async #beginAtRcpt(envelope: Envelope, delivery: Delivery): Promise<Step> {
    // Every message has an octet: without SIZE, too, a full mailbox is refused.
    const options = { ...this.#beginOptions(envelope), expectedBytes: envelope.expectedBytes ?? 1 };
    await delivery.begin(this.#parts.store, options, delivery.isRemote ? this.#lookups.signal : this.#parts.signal);
    const { failure } = delivery;
    if (failure === undefined) {
      envelope.recipients.push(delivery);
      return recipientTaken;
    }
    const { address } = delivery.recipient;
    await delivery.abort();
    if (this.#lookups.signal.aborted) return refuse(451, '4.3.0', `<${address}> Temporary internal error`);
    this.#parts.log.error('smtp.recipient-failed', `Can't deliver to ${address}: ${failure.message}`, {
      recipient: address,
      code: failure.code,
      error: failure,
    });
    return { kind: 'reply', replies: [failureReply(failure, address, this.#options.isFullTemporary)], isError: false };
  }

  #beginOptions(envelope: Envelope | undefined): BeginOptions {
    return {
      service: this.#options.protocol,
      expectedBytes: envelope?.expectedBytes,
      autocreate: this.#options.autocreate,
      autosubscribe: this.#options.autosubscribe,
    };
  }

  #data(): Step {
    const refusal = this.#cannotReceive();
    if (refusal !== undefined) return refusal;
    return { kind: 'data', replies: goAhead, intake: this.#beginIntake() };
  }

  #cannotReceive(): Step | undefined {
    if (this.#envelope === undefined) return refuse(503, '5.5.1', 'Error: need MAIL command');
    if (this.#envelope.recipients.length === 0)
      return this.#options.protocol === 'lmtp'
        ? refuse(503, '5.5.1', 'Error: no valid recipients')
        : refuse(554, '5.5.1', 'Error: no valid recipients');
    return undefined;
  }

  /** RFC 3030: the octets of a refused chunk still come and are thrown away. */
  #bdat(size: number, isLast: boolean): Step {
    const refusal = this.#cannotReceive();
    if (refusal !== undefined && refusal.kind === 'reply')
      return { kind: 'chunk', size, isLast, intake: undefined, refusal: refusal.replies[0] };
    this.#chunked ??= this.#beginIntake();
    return { kind: 'chunk', size, isLast, intake: this.#chunked, refusal: undefined };
  }

  #beginIntake(): MessageIntake {
    const envelope = this.#envelope;
    const intake = new MessageIntake(envelope?.recipients ?? [], this.#options.maxMessageBytes);
    this.#intake = intake;
    intake.begin(this.#parts.store, this.#beginOptions(envelope), (recipient) => this.#prefix(recipient), this.#parts.signal);
    return intake;
  }

  #prefix(recipient: Recipient): string {
    if (this.#options.isInner) return '';
    const envelope = this.#envelope;
    const sender = envelope?.sender.text ?? '';
    const single = envelope?.recipients.length === 1 ? recipient.address : undefined;
    const to =
      this.#options.deliveredTo === 'none'
        ? ''
        : `Delivered-To: ${this.#options.deliveredTo === 'final' ? recipient.user.user : recipient.address}\r\n`;
    const facts = {
      hostname: this.#options.hostname,
      helo: this.#helo,
      remoteIp: this.#peer.remoteIp,
      protocol: this.#protocolName(),
      sessionId: this.#sessionId,
      tls: this.#peer.tls,
    };
    return `Return-Path: <${sender}>\r\n${to}${this.#options.addsReceived ? receivedField(facts, sender, single, new Date()) : ''}`;
  }

  /** RFC 3848 and RFC 6531 4.3. */
  #protocolName(): string {
    const secure = this.#peer.tls === undefined ? '' : 'S';
    if (this.#isUtf8) return `UTF8${this.#options.protocol === 'lmtp' ? 'LMTP' : 'SMTP'}${secure}`;
    if (this.#options.protocol === 'lmtp') return `LMTP${secure}`;
    return this.#isExtended ? `ESMTP${secure}` : 'SMTP';
  }

  /** All octets of DATA have come. Ends the transaction in every case. */
  async finishData(intake: MessageIntake, hasBareNewline: boolean): Promise<readonly SmtpReply[]> {
    const envelope = this.#envelope;
    this.#envelope = undefined;
    this.#intake = undefined;
    this.#chunked = undefined;
    const count = this.#options.protocol === 'lmtp' ? (envelope?.recipients.length ?? 1) : 1;
    try {
      const verdict = await intake.finish(hasBareNewline && this.#options.refusesBareNewline);
      if (verdict.kind !== 'complete') return Array.from({ length: count }, () => this.#verdictReply(verdict));
      const outcomes =
        this.#options.protocol === 'lmtp' ? await intake.commitEach(this.#parts.signal) : await intake.commitAll(this.#parts.signal);
      this.#messages += 1;
      for (const delivered of outcomes) this.#logOutcome(delivered, intake, envelope?.sender.text ?? '');
      if (this.#options.protocol === 'lmtp') return outcomes.map((delivered) => this.#outcomeReply(delivered));
      return [this.#combinedReply(outcomes, envelope?.recipients.length ?? 0)];
    } finally {
      if (!intake.isSettled) await intake.abort();
    }
  }

  /** A chunk's octets have come. */
  async finishChunk(step: Extract<Step, { kind: 'chunk' }>): Promise<readonly SmtpReply[]> {
    if (step.refusal !== undefined) return [step.refusal];
    if (step.intake === undefined) return [reply(503, '5.5.1', 'Error: bad sequence of commands')];
    return step.isLast ? this.finishData(step.intake, false) : [reply(250, '2.0.0', `${step.size} octets received`)];
  }

  #verdictReply(verdict: BodyVerdict): SmtpReply {
    switch (verdict.kind) {
      case 'too-large':
        return reply(552, '5.3.4', `Message size exceeds the limit of ${this.#options.maxMessageBytes} octets`);
      case 'loop':
        return reply(554, '5.4.6', 'Too many hops: mail loop');
      case 'bare-newline':
        return reply(550, '5.6.0', 'Message has CR or LF outside of CRLF (see RFC 5321 2.3.8)');
      case 'complete':
        return reply(250, '2.0.0', 'OK');
    }
  }

  #outcomeReply({ recipient, outcome }: Delivered): SmtpReply {
    return outcome.kind === 'saved'
      ? reply(250, '2.0.0', `<${recipient.address}> ${this.#sessionId} Saved`)
      : failureReply(outcome.error, recipient.address, this.#options.isFullTemporary);
  }

  /** One reply for all recipients: a temporary failure counts more than a permanent one, since it loses nothing. */
  #combinedReply(outcomes: readonly Delivered[], recipientCount: number): SmtpReply {
    const failures = outcomes.filter(({ outcome }) => outcome.kind === 'failed').map((delivered) => this.#outcomeReply(delivered));
    const worst = failures.find(({ code }) => code < 500) ?? failures[0];
    if (worst !== undefined && recipientCount > 1) return reply(451, '4.2.0', 'Not all mailboxes could take the message, try again later');
    return worst ?? reply(250, '2.0.0', `OK ${this.#sessionId} Saved`);
  }

  #logOutcome({ recipient, isRemote, outcome }: Delivered, intake: MessageIntake, sender: string): void {
    if (isRemote && outcome.kind === 'saved') return;
    this.#parts.count(outcome.kind === 'saved' ? 'saved' : 'save-failed');
    const { headers, receivedBytes: size } = intake;
    const { user } = recipient.user;
    const result =
      outcome.kind === 'saved' ? `saved mail to ${outcome.mailbox}` : `save failed to ${recipient.mailbox}: ${outcome.error.message}`;
    const text = this.#options.deliverLogText({ headers, receivedBytes: size, sender, result });
    const prefix = `${this.#options.protocol}(${user})<${process.pid}><${this.#sessionId}>: `;
    const messageId = headers.field('message-id');
    const fields = { prefix, user, mailbox: recipient.mailbox, messageId, size, sender, recipient: recipient.address };
    if (outcome.kind === 'saved') this.#parts.log.info('delivery.saved', text, fields);
    else this.#parts.log.error('delivery.failed', text, { ...fields, code: outcome.error.code, error: outcome.error });
  }

  /** What a trusted proxy says about the real client (Postfix's XCLIENT; Dovecot's LMTP knows the same attributes). */
  async #xclient(attributes: Parameters): Promise<Step> {
    if (!this.#peer.isTrusted) return refuse(550, '5.7.0', 'You are not from trusted IP');
    const decoded = new Map(
      [...attributes].map(([name, value]) => [
        name,
        (value ?? '').replace(/\+([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
      ]),
    );
    const address = decoded.get('ADDR')?.replace(/^IPV6:/i, '');
    const port = Number(decoded.get('PORT'));
    this.#peer = {
      ...this.#peer,
      ...(address !== undefined && /^[0-9A-Fa-f:.]+$/.test(address) ? { remoteIp: address } : {}),
      ...(Number.isInteger(port) && port > 0 && port < 65536 ? { remotePort: port } : {}),
    };
    await this.reset();
    this.#helo = '';
    return answer(this.greeting());
  }
}
