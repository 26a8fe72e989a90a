// The smtp and lmtp roles: take messages and deliver them into the recipients' mailboxes. Nothing is relayed.
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { connectAuthMaster } from '#auth/master-connection.js';
import type { SettingsSource } from '#config/settings-source.js';
import { deliverySettings, lmtpSettings, smtpSettings } from '#delivery/settings.js';
import type { Role } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';
import { createMailStore, mailStoreSections, mailStoreSettings } from '#storage/mail-store.js';
import { LazyAbort } from '#util/lazy-abort.js';
import { SmtpConnection } from './connection.js';
import { type SessionOptions, SmtpSession } from './session.js';

function receivingRole(protocol: 'smtp' | 'lmtp'): Role {
  return {
    name: protocol,
    settings: [...mailStoreSettings, deliverySettings, lmtpSettings, smtpSettings, tlsSettings],
    sections: mailStoreSections,
    async start(context) {
      const auth = connectAuthMaster({ path: join(context.baseDir, 'auth-master'), log: context.log });
      const store = createMailStore({ settings: context.settings, log: context.log });
      const ended = new LazyAbort();
      const options = sessionOptions(protocol, context.settings, context.hasInetListeners);
      const { smtp_max_errors: maxErrors } = context.settings.get(smtpSettings);
      context.onConnection(
        (accepted) => {
          const session = new SmtpSession(options, { auth, store, log: context.log, signal: ended.signal }, accepted.peer, newSessionId());
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
    offersTls: hasNetwork && settings.get(tlsSettings).ssl !== 'no' && settings.get(tlsSettings).ssl_cert !== '',
    deliverLogFormat: delivery.deliver_log_format,
    runsAsRoot: process.getuid?.() === 0,
  };
}
