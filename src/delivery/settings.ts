import { boolean, choice, defineSettings, list, size, string, uint } from '#config/define.js';

/** What LMTP and SMTP share: finding the mailbox of an address, and what is added to a message. */
export const deliverySettings = defineSettings('delivery', {
  hostname: string('', 'Host name used in greetings, Received: headers and Message-IDs; the system host name when empty.'),
  recipient_delimiter: string('+', 'Characters that separate a detail from the user name in an address: user+detail@domain.'),
  delivery_local_domains: list(
    'localhost %{hostname}',
    'Domains whose addresses may name a user without its domain: bob@localhost finds the user bob when bob@localhost is no user.',
  ),
  lda_mailbox_autocreate: boolean('no', 'Create the detail mailbox when it does not exist.'),
  lda_mailbox_autosubscribe: boolean('no', 'Subscribe to a mailbox created that way.'),
  quota_full_tempfail: boolean('no', 'Answer 452 rather than 552 when the mailbox is over quota.'),
  deliver_log_format: string(
    'msgid=%m: %$',
    'Delivery log line: %m Message-ID, %f From, %s subject, %p size, %e envelope sender, %$ result.',
  ),
});

export const lmtpSettings = defineSettings('lmtp', {
  lmtp_save_to_detail_mailbox: boolean('no', 'Deliver user+detail into the mailbox named detail.'),
  lmtp_rcpt_check_quota: boolean('no', 'Refuse a recipient over quota at RCPT TO already.'),
  lmtp_add_received_header: boolean('yes', 'Add a Received: header.'),
  lmtp_hdr_delivery_address: choice(['final', 'none', 'original'], 'final', 'Address in the Delivered-To: header that is added.'),
});

export const smtpSettings = defineSettings('smtp', {
  smtp_max_message_size: size('50M', 'Largest message taken, octets; announced as SIZE.'),
  smtp_max_recipients: uint('100', 'Recipients of one message; more get 452 4.5.3 and come back.'),
  smtp_max_errors: uint('20', 'Refused commands after which the connection is closed.'),
  smtp_bare_newline: choice(
    ['reject', 'accept'],
    'reject',
    'What a message with CR or LF outside CRLF gets: 550 5.6.0, or stored as it is. Such messages serve to smuggle others.',
  ),
});
