// Settings of everything that talks to clients before login: login roles, and mail roles in direct mode.
import { boolean, defineSettings, list, string, uint } from '#config/define.js';

export const loginSettings = defineSettings('login', {
  login_greeting: string('Roost ready.', 'Text of the greeting'),
  login_log_format_elements: list(
    'user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>',
    'Parts of the line logged for each login; a part whose variables are all empty is left out',
  ),
  login_log_format: string('%$: %s', 'Line logged for each login: %$ is what happened, %s the parts'),
  disable_plaintext_auth: boolean('yes', 'Passwords are accepted over TLS, from this machine and from login_trusted_networks only'),
  mail_max_userip_connections: uint('50', 'Connections of one user from one address; 0: no limit. Dovecot has 10, too few behind NAT', {
    unlimited: true,
  }),
  imap_id_retain: boolean('no', 'Give the ID fields that the client sent before login to the authentication, as %{client_id}.'),
  imap_literal_minus: boolean('no', 'Offer LITERAL- instead of LITERAL+: literals without waiting only up to 4 KB.'),
  imap_id_send: string('name *', 'ID fields sent to clients: names and values; * gives the default value.'),
});
