"""Python's imaplib and poplib do the common work of a client. Arguments: IMAP port, IMAPS port, POP3 port, POP3S port, user, password."""
import imaplib
import poplib
import ssl
import sys
import time

imap_port, imaps_port, pop3_port, pop3s_port = map(int, sys.argv[1:5])
user, password = sys.argv[5:7]
unverified = ssl._create_unverified_context()
message = b"From: a@example.test\r\nTo: b@example.test\r\nSubject: python %d\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.dot\r\n"


def ok(result):
    status, data = result
    assert status == "OK", result
    return data


def use_imap(imap, number):
    capabilities = ok(imap.capability())[0].split()
    assert b"IDLE" in capabilities and b"UIDPLUS" in capabilities, capabilities
    folder = '"Py &AOQ- %d"' % number
    ok(imap.create(folder))
    ok(imap.subscribe(folder))
    date = imaplib.Time2Internaldate(time.time() - 86400)
    for index in range(3):
        ok(imap.append(folder, "(\\Seen $Label1)" if index == 0 else None, date, message % index))
    assert ok(imap.select(folder)) == [b"3"]
    assert ok(imap.uid("SEARCH", None, "KEYWORD", "$Label1")) == [b"1"]
    assert ok(imap.search(None, '(OR SUBJECT "python 2" SEEN)')) == [b"1 3"]
    fetched = ok(imap.fetch("2", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"))
    assert fetched[0][1] == message % 1, fetched
    assert imaplib.Internaldate2tuple(fetched[0][0]) is not None, fetched
    assert imaplib.ParseFlags(fetched[0][0]) in ((), (b"\\Recent",)), fetched
    ok(imap.store("2", "+FLAGS", "(\\Deleted)"))
    assert ok(imap.expunge()) == [b"2"]
    ok(imap.copy("1:2", "INBOX"))
    status, data = imap.uid("MOVE", "1", "Trash")
    assert status == "OK", data
    ok(imap.noop())
    assert ok(imap.status(folder, "(MESSAGES UIDNEXT)"))[0].endswith(b"(MESSAGES 1 UIDNEXT 4)")
    ok(imap.close())
    ok(imap.rename(folder, '"Py renamed %d"' % number))
    names = [line.decode() for line in ok(imap.list()) if line]
    assert any("Py renamed %d" % number in name for name in names), names
    ok(imap.delete('"Py renamed %d"' % number))
    status, data = imap.select("nothing-here")
    assert status == "NO", data
    imap.logout()


def use_pop3(pop3, expected):
    pop3.user(user)
    pop3.pass_(password)
    count, octets = pop3.stat()
    assert count == expected, count
    _, listing, _ = pop3.list()
    assert sum(int(line.split()[1]) for line in listing) == octets
    _, uids, _ = pop3.uidl()
    assert len(set(uids)) == count
    _, lines, size = pop3.retr(1)
    assert b"\r\n".join(lines) + b"\r\n" == message % 0, lines
    _, top, _ = pop3.top(1, 1)
    assert top[-1] == "Grüße".encode()
    pop3.dele(1)
    pop3.rset()
    pop3.dele(count)
    pop3.quit()


plain = imaplib.IMAP4("127.0.0.1", imap_port)
plain.login(user, password)
use_imap(plain, 1)
starttls = imaplib.IMAP4("127.0.0.1", imap_port)
starttls.starttls(unverified)
starttls.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode())
use_imap(starttls, 2)
implicit = imaplib.IMAP4_SSL("127.0.0.1", imaps_port, ssl_context=unverified)
implicit.login(user, password)
use_imap(implicit, 3)
use_pop3(poplib.POP3("127.0.0.1", pop3_port), 6)
upgraded = poplib.POP3("127.0.0.1", pop3_port)
upgraded.stls(unverified)
use_pop3(upgraded, 5)
use_pop3(poplib.POP3_SSL("127.0.0.1", pop3s_port, context=unverified), 4)
try:
    imaplib.IMAP4("127.0.0.1", imap_port).login(user, "wrong")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATIONFAILED" in str(error), error
else:
    raise AssertionError("a wrong password was taken")
print("done")
