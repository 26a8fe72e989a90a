// The course of a delivery (mail_worker.h).
#include "mail_worker.h"

#include "clock.h"

namespace load {

MailWorker::MailWorker(const Script& script, const WorkerScript& own, int poll, std::uint32_t key) : Worker(script, own, poll, key) {
  const Delivery& delivery = *own.delivery;
  const std::string mail = "MAIL FROM:<" + delivery.sender + ">";
  hello_ = std::string(delivery.isLmtp ? "LHLO" : "EHLO") + " bench.test";
  greetingReplies_ = {{"greeting", 220}};
  helloReplies_ = {{hello_, 250}};
  hello_ += "\r\n";
  envelope_ = mail + "\r\n";
  envelopeReplies_ = {{mail, 250}};
  for (const std::string& recipient : delivery.recipients) {
    const std::string rcpt = "RCPT TO:<" + recipient + ">";
    envelope_ += rcpt + "\r\n";
    envelopeReplies_.push_back({rcpt, 250});
    if (delivery.isLmtp) contentReplies_.push_back({"message to <" + recipient + ">", 250});
  }
  if (!delivery.isLmtp) contentReplies_ = {{"message", 250}};
  if (delivery.isChunked) {
    envelope_ += "BDAT " + std::to_string(script.requests[delivery.message].size()) + " LAST\r\n";
    contentReplies_.insert(contentReplies_.begin(), envelopeReplies_.begin(), envelopeReplies_.end());
  } else {
    envelope_ += "DATA\r\n";
    envelopeReplies_.push_back({"DATA", 354});
  }
  quitReplies_ = {{"QUIT", 221}};
}

void MailWorker::logIn(Course& course) {
  stage_ = Stage::greeting;
  answered_ = 0;
  scanner_.clear();
  connect(course);
}

void MailWorker::begin(Course& course) {
  if (!course.mayBegin(nowNs())) return;
  if (!connection_.isOpen()) return fail(course, "the connection has ended");
  deliver(course);
}

void MailWorker::logOut(Course& course) {
  if (connection_.isOpen()) send(course, Stage::quit, "QUIT\r\n", "");
}

void MailWorker::deliver(Course& course) {
  course.left -= 1;
  deliveryStart_ = nowNs();
  if (own_.delivery->isChunked) send(course, Stage::content, envelope_, script_.requests[own_.delivery->message]);
  else send(course, Stage::envelope, envelope_, "");
}

void MailWorker::send(Course& course, Stage stage, std::string_view head, std::string_view body) {
  stage_ = stage;
  answered_ = 0;
  stepStart_ = nowNs();
  sendBoth(course, head, body);
}

const std::vector<MailWorker::Expected>& MailWorker::expected() const {
  switch (stage_) {
    case Stage::hello:
      return helloReplies_;
    case Stage::envelope:
      return envelopeReplies_;
    case Stage::content:
      return contentReplies_;
    case Stage::quit:
      return quitReplies_;
    case Stage::rest:
    case Stage::greeting:
      break;
  }
  return greetingReplies_;
}

bool MailWorker::take(Course& course, const char* octets, std::size_t length) {
  for (std::string_view rest(octets, length); scanner_.take(rest);) {
    // More replies than were asked for are no news that anybody could have.
    if (!isBusy()) {
      fail(course, "unexpected: " + scanner_.lastLine());
      return false;
    }
    if (scanner_.code() != expected()[answered_].code) {
      if (isLeaving()) onLeft(course);
      else fail(course, stepName() + ": " + scanner_.lastLine());
      return false;
    }
    answered_ += 1;
    if (answered_ == expected().size()) onAnswered(course);
    if (!connection_.isOpen()) return false;
  }
  return isBusy();
}

/** All replies of a stage have come. */
void MailWorker::onAnswered(Course& course) {
  switch (stage_) {
    case Stage::rest:
      return;
    case Stage::greeting:
      return send(course, Stage::hello, hello_, "");
    case Stage::hello:
      return rest();
    case Stage::envelope:
      return send(course, Stage::content, script_.requests[own_.delivery->message], ".\r\n");
    case Stage::content: {
      const std::int64_t now = nowNs();
      course.measures.commands.push_back(now - deliveryStart_);
      rest();
      if (course.mayBegin(now)) deliver(course);
      return;
    }
    case Stage::quit:
      return onLeft(course);
  }
}

void MailWorker::onLeft(Course&) {
  rest();
  connection_.close();
}

std::string MailWorker::stepName() const { return expected()[answered_ < expected().size() ? answered_ : 0].name; }

}  // namespace load
