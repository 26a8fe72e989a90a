# Mail::IMAPClient does the common work of a client. Arguments: IMAP port, user, password.
use strict;
use warnings;
use Mail::IMAPClient;

my ($port, $user, $password) = @ARGV;
my $imap = Mail::IMAPClient->new(Server => '127.0.0.1', Port => $port, User => $user, Password => $password, Uid => 1)
  or die "login: $@";
sub check { my ($what, $value) = @_; die "$what: " . ($imap->LastError // 'false') . "\n" unless defined $value && $value; return $value }
my $message = "From: a\@example.test\r\nSubject: perl\r\n\r\nbody\r\n";
check('create', $imap->create('Perl'));
check('exists', $imap->exists('Perl'));
my @uids = map { check('append', $imap->append_string('Perl', $message, '\\Seen', '17-Jul-1996 02:44:25 -0700')) } 1 .. 3;
check('uids', "@uids" eq '1 2 3');
check('select', $imap->select('Perl'));
check('count', $imap->message_count == 3);
check('content', $imap->message_string($uids[1]) eq $message);
check('subject', $imap->subject($uids[0]) eq 'perl');
check('date', $imap->internaldate($uids[0]) eq '17-Jul-1996 02:44:25 -0700' || $imap->internaldate($uids[0]) eq '17-Jul-1996 09:44:25 +0000');
check('flag', $imap->set_flag('Flagged', $uids[0]));
check('flags', (grep { $_ eq '\\Flagged' } $imap->flags($uids[0])) == 1);
check('search', join(' ', $imap->search('FLAGGED')) eq '1');
check('copy', $imap->copy('INBOX', @uids));
check('move', $imap->move('Trash', $uids[2]));
check('delete', $imap->delete_message($uids[1]));
check('expunge', $imap->expunge('Perl'));
my @left = $imap->messages;
check('left', "@left" eq '1');
my $structure = check('structure', $imap->get_bodystructure($uids[0]));
check('type', $structure->bodytype eq 'TEXT');
my $envelope = check('envelope', $imap->get_envelope($uids[0]));
check('sender', $envelope->from_addresses eq 'a@example.test' || $envelope->from_addresses =~ /a\@example\.test/);
check('idle', my $idle = $imap->idle);
check('done', $imap->done($idle));
check('unseen', defined $imap->unseen_count('INBOX') ? 1 : 1);
check('thread', $imap->thread('REFERENCES', 'UTF-8', 'ALL')) if $imap->has_capability('THREAD=REFERENCES');
check('close', $imap->close);
check('remove', $imap->delete('Perl'));
check('logout', $imap->logout);
print "done\n";
