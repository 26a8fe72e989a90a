// Events of a worker's connection (worker.h).
#include "worker.h"

#include "clock.h"
#include "imap_worker.h"
#include "mail_worker.h"

namespace load {

namespace {

/** Shared by all: what is read is looked at at once. */
char block[1 << 18];

}  // namespace

std::unique_ptr<Worker> makeWorker(const Script& script, const WorkerScript& own, int poll, std::uint32_t key) {
  if (own.delivery.has_value()) return std::make_unique<MailWorker>(script, own, poll, key);
  return std::make_unique<ImapWorker>(script, own, poll, key);
}

void Worker::connect(Course& course) {
  stepStart_ = nowNs();
  if (!connection_.open(poll_, key_, script_.port, script_.isTls)) return fail(course, connection_.error());
  connection_.watch();
}

bool Worker::sendBoth(Course& course, std::string_view head, std::string_view body) {
  if (!connection_.send(head, body)) {
    fail(course, stepName() + ": " + connection_.error());
    return false;
  }
  connection_.watch();
  return true;
}

void Worker::onReady(Course& course) {
  if (!isBusy()) return disregard();
  if (!connection_.flush()) return fail(course, stepName() + ": " + connection_.error());
  std::size_t length = 0;
  switch (connection_.read(block, sizeof block, length)) {
    case Arrival::octets:
      if (!take(course, block, length)) return;
      [[fallthrough]];
    case Arrival::nothing:
      return connection_.watch();
    case Arrival::ended:
      if (isLeaving()) return onLeft(course);
      return fail(course, stepName() + ": connection closed by the server");
    case Arrival::failed:
      if (isLeaving()) return onLeft(course);
      return fail(course, stepName() + ": " + connection_.error());
  }
}

/** A held connection between two requests: news of the mailbox, or its end, of which the next request tells. */
void Worker::disregard() {
  std::size_t length = 0;
  const Arrival arrival = connection_.read(block, sizeof block, length);
  if (arrival == Arrival::ended || arrival == Arrival::failed) connection_.close();
}

void Worker::checkDeadline(Course& course, std::int64_t now) {
  if (isBusy() && now - stepStart_ > script_.replyTimeoutNs)
    fail(course, stepName() + ": no reply within " + std::to_string(script_.replyTimeoutNs / 1'000'000) + " ms");
}

void Worker::fail(Course& course, const std::string& text) {
  rest();
  connection_.close();
  course.measures.addError(text);
}

}  // namespace load
