"""Python's imaplib keeps a copy of the inbox by CONDSTORE and QRESYNC. Arguments: IMAP port, user, password, file of the copy, pull or push."""
import hashlib
import imaplib
import json
import os
import re
import sys

port, user, password, path, what = sys.argv[1:]
copy = {"validity": 0, "modseq": 0, "messages": {}}
if os.path.exists(path):
    with open(path) as file:
        copy = json.load(file)


def ok(result):
    status, data = result
    assert status == "OK", result
    return data


def expand(uid_set):
    for part in uid_set.split(","):
        first, _, last = part.partition(":")
        yield from range(int(first), int(last or first) + 1)


def flags_of(line):
    return " ".join(sorted(flag.decode() for flag in imaplib.ParseFlags(line) if flag != b"\\Recent"))


imap = imaplib.IMAP4("127.0.0.1", int(port))
imap.login(user, password)
ok(imap.enable("QRESYNC"))
known = "(QRESYNC (%d %d))" % (copy["validity"], copy["modseq"]) if copy["modseq"] else "(CONDSTORE)"
# What this module's select() cannot say; what it does besides is to note the state.
ok(imap.xatom("SELECT", "INBOX", known))
imap.state = "SELECTED"
validity = int(imap.response("UIDVALIDITY")[1][0])
assert copy["validity"] in (0, validity)
changed = [line for line in imap.response("FETCH")[1] if line]
vanished = [line.decode() for line in imap.response("VANISHED")[1] if line]
modseq = int(imap.response("HIGHESTMODSEQ")[1][0])
if not copy["modseq"]:
    assert not changed and not vanished, (changed, vanished)
    changed = ok(imap.uid("FETCH", "1:*", "(FLAGS)"))
assert all(line.startswith("(EARLIER) ") for line in vanished), vanished
gone = sorted(uid for line in vanished for uid in expand(line.split()[1]))
told = []
for line in changed:
    uid = re.search(rb"\bUID (\d+)", line).group(1).decode()
    told.append(int(uid))
    message = copy["messages"].setdefault(uid, {})
    message["flags"] = flags_of(line)
    if "body" not in message:
        body = ok(imap.uid("FETCH", uid, "(BODY.PEEK[])"))[0][1]
        message["body"] = "%d:%s" % (len(body), hashlib.sha1(body).hexdigest())
for uid in gone:
    copy["messages"].pop(str(uid), None)
copy["validity"], copy["modseq"] = validity, modseq
with open(path, "w") as file:
    json.dump(copy, file)
if what == "push":
    stored = ok(imap.uid("STORE", "2", "(UNCHANGEDSINCE %d)" % modseq, "+FLAGS", "(\\Answered here)"))
    assert b"MODSEQ" in stored[0] and b"here" in stored[0], stored
    ok(imap.append("INBOX", "(\\Seen)", None, b"Subject: made here\r\n\r\nbody\r\n"))
    ok(imap.uid("STORE", "1", "+FLAGS.SILENT", "(\\Deleted)"))
    ok(imap.uid("EXPUNGE", "1"))
imap.logout()
print("told %s gone %s" % (",".join(map(str, sorted(told))), ",".join(map(str, gone))))
for uid in sorted(copy["messages"], key=int):
    print("%s (%s) %s" % (uid, copy["messages"][uid]["flags"], copy["messages"][uid]["body"]))
