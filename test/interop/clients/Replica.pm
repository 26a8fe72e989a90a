# A copy of one mailbox in a file: the part that does not depend on the client. Lines: UIDVALIDITY and HIGHESTMODSEQ, then UID, body, flags.
package Replica;
use strict;
use warnings;
use Digest::SHA qw(sha1_hex);

sub open {
  my ($class, $path) = @_;
  my $self = bless { path => $path, validity => 0, modseq => 0, messages => {}, told => [], gone => [] }, $class;
  CORE::open(my $file, '<', $path) or return $self;
  chomp(my @lines = <$file>);
  @{$self}{qw(validity modseq)} = split / /, shift @lines;
  for (@lines) { my ($uid, $body, $flags) = split / /, $_, 3; $self->{messages}{$uid} = { body => $body, flags => $flags } }
  return $self;
}

# Takes what the server says about one message; $body is called for one that is new.
sub changed {
  my ($self, $uid, $flags, $body) = @_;
  push @{ $self->{told} }, $uid;
  my $message = $self->{messages}{$uid} //= {};
  $message->{flags} = join ' ', sort grep { $_ ne '\\Recent' } @$flags;
  return if defined $message->{body};
  my $text = $body->();
  $message->{body} = length($text) . ':' . sha1_hex($text);
}

sub vanished {
  my ($self, $set) = @_;
  for my $uid (map { my ($first, $last) = split /:/; $first .. $last // $first } split /,/, $set) {
    push @{ $self->{gone} }, $uid;
    delete $self->{messages}{$uid};
  }
}

sub save {
  my ($self, $validity, $modseq) = @_;
  die "another UIDVALIDITY\n" if $self->{validity} && $self->{validity} != $validity;
  die "no HIGHESTMODSEQ\n" unless $modseq;
  CORE::open(my $file, '>', $self->{path}) or die "$self->{path}: $!\n";
  print $file "$validity $modseq\n";
  print $file "$_ $self->{messages}{$_}{body} $self->{messages}{$_}{flags}\n" for keys %{ $self->{messages} };
  close $file or die "$self->{path}: $!\n";
}

sub report {
  my ($self) = @_;
  my $list = sub { join ',', sort { $a <=> $b } @_ };
  print 'told ', $list->(@{ $self->{told} }), ' gone ', $list->(@{ $self->{gone} }), "\n";
  print "$_ ($self->{messages}{$_}{flags}) $self->{messages}{$_}{body}\n" for sort { $a <=> $b } keys %{ $self->{messages} };
}

1;
