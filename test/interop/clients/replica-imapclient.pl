# Mail::IMAPClient keeps a copy of the inbox by CHANGEDSINCE and VANISHED. Arguments: IMAP port, user, password, file of the copy, pull or push.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Mail::IMAPClient;
use Replica;

my ($port, $user, $password, $path, $what) = @ARGV;
my $imap = Mail::IMAPClient->new(Server => '127.0.0.1', Port => $port, User => $user, Password => $password, Uid => 1, Peek => 1)
  or die "login: $@";
sub check { my ($what, $value) = @_; die "$what: " . ($imap->LastError // 'false') . "\n" unless defined $value && $value; return $value }
my $copy = Replica->open($path);
check('enable', $imap->tag_and_run('ENABLE QRESYNC'));
check('select', $imap->select('INBOX'));
my $selected = join '', $imap->Results;
my ($validity) = $selected =~ /\[UIDVALIDITY (\d+)\]/;
my ($modseq) = $selected =~ /\[HIGHESTMODSEQ (\d+)\]/;
if ($copy->{modseq}) {
  my $lines = check('changes', scalar $imap->tag_and_run("UID FETCH 1:* (FLAGS) (CHANGEDSINCE $copy->{modseq} VANISHED)"));
  for (@$lines) {
    $copy->vanished($1) if /^\* VANISHED \(EARLIER\) (\S+)/;
    next unless /^\* \d+ FETCH /;
    my ($uid) = /\bUID (\d+)/;
    my ($flags) = /\bFLAGS \(([^)]*)\)/;
    die "no MODSEQ: $_\n" unless /\bMODSEQ \((\d+)\)/ && $1 > $copy->{modseq};
    $copy->changed($uid, [split / /, $flags], sub { check('body', $imap->message_string($uid)) });
  }
} else {
  my $all = check('fetch', scalar $imap->fetch_hash('1:*', 'FLAGS'));
  for my $uid (keys %$all) { $copy->changed($uid, [split / /, $all->{$uid}{FLAGS}], sub { check('body', $imap->message_string($uid)) }) }
}
$copy->save($validity, $modseq);
if ($what eq 'push') {
  check('flags', $imap->store('2', '+FLAGS', '(\\Answered here)'));
  check('append', $imap->append_string('INBOX', "Subject: made here\r\n\r\nbody\r\n", '\\Seen'));
  check('delete', $imap->delete_message('1'));
  check('expunge', $imap->uidexpunge('1'));
}
check('logout', $imap->logout);
$copy->report;
