// The smtp and lmtp roles: take messages and deliver them into the recipients' mailboxes. Nothing is relayed.
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { connectAuthMaster } from '#auth/master-connection.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { Recipient } from '#delivery/deliver.js';
import { deliverySettings, lmtpSettings, smtpSettings } from '#delivery/settings.js';
import type { ClientSocket } from '#service-kit/open-socket.js';
import type { Role, ServiceContext } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';
import { createMailStore, mailStoreSections, mailStoreSettings } from '#storage/mail-store.js';
import { LazyAbort } from '#util/lazy-abort.js';
import { SmtpConnection } from './connection.js';
import { deliveryText } from './delivery-log.js';
import { type SessionOptions, type SessionParts, SmtpSession } from './session.js';

function receivingRole(protocol: 'smtp' | 'lmtp'): Role {
  return {
    name: protocol,
    settings: [...mailStoreSettings, deliverySettings, lmtpSettings, smtpSettings, tlsSettings],
    sections: mailStoreSections,
    async start(context) {
      const auth = connectAuthMaster({ path: join(context.baseDir, 'auth-master'), log: context.log, keepsLeases: true });
      const store = createMailStore({ settings: context.settings, log: context.log });
      const ended = new LazyAbort();
      const options = sessionOptions(protocol, context.settings, context.hasInetListeners);
      const { smtp_max_errors: maxErrors } = context.settings.get(smtpSettings);
      context.onConnection(
        (accepted) => {
          const parts: SessionParts = {
            auth,
            store,
            log: context.log,
            signal: ended.signal,
            count: (name) => context.count(name),
            mayServe: (uid) => context.mayServe(uid),
            openUserProcess: (recipient, signal) => openUserProcess(context, recipient, signal),
          };
          const session = new SmtpSession(options, parts, accepted.peer, newSessionId());
          const connection = new SmtpConnection(accepted, context, session, { maxErrors, log: context.log, hostname: options.hostname });
          void connection.run();
          return connection;
        },
        { refusal: (_listener, reason) => `421 4.3.2 ${options.hostname} ${reason}\r\n` },
      );
      return async () => {
        ended.abort(new Error('the process ends'));
        auth.close();
        await store.close();
      };
    },
  };
}

/** Delivers as the user it runs as, what smtp and lmtp processes that run as somebody else have taken. */
export const deliverRole: Role = {
  name: 'deliver',
  settings: [...mailStoreSettings, deliverySettings, lmtpSettings, smtpSettings],
  sections: mailStoreSections,
  async start(context) {
    const auth = connectAuthMaster({ path: join(context.baseDir, 'auth-master'), log: context.log, keepsLeases: true });
    const store = createMailStore({ settings: context.settings, log: context.log });
    const ended = new AbortController();
    const outer = sessionOptions('lmtp', context.settings, false);
    // What was taken once is not refused for its size or its line ends now that our own header fields are in front of it.
    const options: SessionOptions = { ...outer, isInner: true, maxMessageBytes: Number.MAX_SAFE_INTEGER, refusesBareNewline: false };
    const parts: SessionParts = {
      auth,
      store,
      log: context.log,
      signal: ended.signal,
      count: (name) => context.count(name),
      mayServe: (uid) => context.mayServe(uid),
      openUserProcess: undefined,
    };
    context.onHandoff(({ stream, request, release }) => {
      const session = new SmtpSession(options, parts, { ...request.peer, isTrusted: false }, request.sessionId);
      const accepted = { socket: stream as ClientSocket, peer: request.peer, listener: innerListener, release };
      const connection = new SmtpConnection(accepted, noTls, session, { maxErrors: 1, log: context.log, hostname: options.hostname });
      void connection.run();
      return connection;
    });
    return async () => {
      ended.abort();
      auth.close();
      await store.close();
    };
  },
};

const innerListener = { kind: 'unix', name: 'deliver', isTls: false } as const;
const noTls = { startTls: () => Promise.reject(new Error('no TLS between our own processes')) };

/** @throws Error with the reason when no process can be had */
async function openUserProcess(context: ServiceContext, { user }: Recipient, signal: AbortSignal): Promise<Socket> {
  const { uid = '', gid = '' } = user.fields;
  const fields = { ...(uid === '' ? {} : { roost_uid: uid }), ...(gid === '' ? {} : { roost_gid: gid }) };
  const opened = await context.openSession({ service: 'deliver', user: user.user, fields }, signal);
  if (opened.kind === 'open') return opened.stream;
  throw new Error(opened.reason);
}

export const smtpRole = receivingRole('smtp');
export const lmtpRole = receivingRole('lmtp');

/** Short enough for a reply line, unique enough to find a message in the logs of years. */
function newSessionId(): string {
  return randomBytes(12).toString('base64url');
}

/** @param hasNetwork there are listeners that the network reaches; TLS on a UNIX socket would protect nothing */
function sessionOptions(protocol: 'smtp' | 'lmtp', settings: SettingsSource, hasNetwork: boolean): SessionOptions {
  const delivery = settings.get(deliverySettings);
  const lmtp = settings.get(lmtpSettings);
  const smtp = settings.get(smtpSettings);
  const ownName = delivery.hostname || hostname();
  return {
    protocol,
    hostname: ownName,
    rules: {
      recipientDelimiter: delivery.recipient_delimiter,
      localDomains: new Set(delivery.delivery_local_domains.map((domain) => domain.replace('%{hostname}', ownName).toLowerCase())),
    },
    maxMessageBytes: smtp.smtp_max_message_size,
    maxRecipients: protocol === 'smtp' ? smtp.smtp_max_recipients : Math.max(smtp.smtp_max_recipients, 1000),
    refusesBareNewline: protocol === 'smtp' && smtp.smtp_bare_newline === 'reject',
    addsReceived: protocol === 'smtp' || lmtp.lmtp_add_received_header,
    deliveredTo: lmtp.lmtp_hdr_delivery_address,
    savesToDetailMailbox: lmtp.lmtp_save_to_detail_mailbox,
    autocreate: delivery.lda_mailbox_autocreate,
    autosubscribe: delivery.lda_mailbox_autosubscribe,
    isFullTemporary: delivery.quota_full_tempfail,
    checksQuotaAtRcpt: lmtp.lmtp_rcpt_check_quota,
    offersTls: hasNetwork && settings.get(tlsSettings).ssl !== 'no' && settings.get(tlsSettings).ssl_cert !== '',
    deliverLogText: deliveryText(delivery.deliver_log_format),
    isInner: false,
  };
}
