# Mail::IMAPTalk keeps a copy of the inbox by SELECT with QRESYNC. Arguments: IMAP port, user, password, file of the copy, pull or push.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Mail::IMAPTalk;
use Replica;

my ($port, $user, $password, $path, $what) = @ARGV;
my $imap = Mail::IMAPTalk->new(Server => '127.0.0.1', Port => $port, Username => $user, Password => $password, Uid => 1)
  or die "login: $@";
sub check { my ($what, $value) = @_; die "$what: " . ($imap->get_last_error // 'false') . "\n" unless $value; return $value }
my $copy = Replica->open($path);
check('enable', $imap->enable('qresync'));
my $known = $copy->{modseq} ? "(qresync ($copy->{validity} $copy->{modseq}))" : '(condstore)';
check('select', $imap->select('INBOX', $known => 1));
my ($validity, $modseq) = map { $imap->get_response_code($_) } qw(uidvalidity highestmodseq);
my $changed = $imap->get_response_code('fetch') // {};
my $vanished = $imap->get_response_code('vanished');
unless ($copy->{modseq}) {
  die "changes of an unknown copy\n" if %$changed || $vanished;
  $changed = check('fetch', scalar $imap->fetch('1:*', '(flags)'));
}
if ($vanished) {
  die "not of earlier\n" unless lc $vanished->[0][0] eq 'earlier';
  $copy->vanished($vanished->[1]);
}
for my $uid (keys %$changed) {
  $copy->changed($uid, $changed->{$uid}{flags}, sub { check('body', scalar $imap->fetch($uid, '(body.peek[])'))->{$uid}{body} });
}
$copy->save($validity, $modseq);
if ($what eq 'push') {
  check('flags', $imap->store('2', '+flags', '(\\Answered here)'));
  check('append', $imap->append('INBOX', '(\\Seen)', { Literal => "Subject: made here\r\n\r\nbody\r\n" }));
  check('delete', $imap->store('1', '+flags.silent', '(\\Deleted)'));
  check('expunge', $imap->uidexpunge('1'));
}
$imap->logout;
$copy->report;
