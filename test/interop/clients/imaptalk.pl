# Mail::IMAPTalk reads the test account by its own parser. Arguments: IMAP port, user, password.
use strict;
use warnings;
use Mail::IMAPTalk;

my ($port, $user, $password) = @ARGV;
my $imap = Mail::IMAPTalk->new(Server => '127.0.0.1', Port => $port, Username => $user, Password => $password, Uid => 1)
  or die "login: $@";
sub check { my ($what, $value) = @_; die "$what: " . ($imap->get_last_error // 'false') . "\n" unless $value; return $value }
check('select', $imap->select('INBOX'));
check('exists', $imap->get_response_code('exists') == 5);
check('validity', $imap->get_response_code('uidvalidity') > 0);
my $messages = check('fetch', $imap->fetch('1:*', '(uid flags envelope bodystructure rfc822.size)'));
check('all', join(',', sort keys %$messages) eq '1,2,3,4,5');
check('subject', $messages->{2}{envelope}{Subject} eq 'two');
check('sender', $messages->{2}{envelope}{From} =~ /sender\@example\.test/);
my $parts = $messages->{3}{bodystructure}{'MIME-Subparts'};
check('parts', @$parts == 2 && @{ $parts->[0]{'MIME-Subparts'} } == 2);
check('name', $parts->[1]{'Content-Disposition'}{filename} eq 'data.bin');
check('encoding', lc $parts->[1]{'Content-Transfer-Encoding'} eq 'base64');
check('flags', scalar grep { $_ eq '\\Flagged' } @{ $messages->{3}{flags} });
my $search = check('search', scalar $imap->search('subject', { Quote => 'two' }));
check('found', "@$search" eq '2');
check('store', $imap->store('2', '+flags', '(\\Answered talk)'));
check('move', $imap->copy('2', 'Work'));
check('create', $imap->create('Talk/Box'));
my $folders = check('list', scalar $imap->list('', '*'));
check('folder', scalar grep { $_->[2] eq 'Talk/Box' } @$folders);
my $status = check('status', $imap->status('Work', '(messages unseen)'));
check('count', $status->{messages} == 3);
check('unselect', $imap->unselect) if $imap->capability->{unselect};
$imap->logout;
print "done\n";
