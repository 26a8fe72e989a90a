// The course of a session (worker.h).
#include "worker.h"

#include <algorithm>

#include "clock.h"

namespace load {

namespace {

constexpr std::size_t mostNamed = 60;
constexpr std::string_view ok = "OK ";
constexpr std::string_view greetingStart = "* OK ";

/** Shared by all: what is read is looked at at once. */
char block[1 << 18];

}  // namespace

void Worker::logIn(Course& course) { connect(course); }

void Worker::begin(Course& course) {
  session_ = 0;
  turn_ = 0;
  const std::int64_t now = nowNs();
  if (!course.mayBegin(now)) return;
  if (!isHeld()) return beginSession(course, now);
  if (!connection_.isOpen()) return fail(course, "the connection has ended");
  course.left -= 1;
  sendNext(course);
}

void Worker::logOut(Course& course) {
  if (connection_.isOpen()) sendLogout(course);
}

void Worker::beginSession(Course& course, std::int64_t now) {
  course.left -= 1;
  turn_ = 0;
  sessionStart_ = now;
  connect(course);
}

void Worker::connect(Course& course) {
  tag_ = 0;
  stage_ = Stage::greeting;
  commandStart_ = stepStart_ = nowNs();
  scanner_.expect("");
  if (!connection_.open(poll_, key_, script_.port, script_.isTls)) return fail(course, connection_.error());
  connection_.watch();
}

void Worker::send(Course& course, Stage stage, std::string_view command) {
  stage_ = stage;
  tag_ += 1;
  stepStart_ = nowNs();
  if (stage != Stage::login) commandStart_ = stepStart_;
  const std::string head = "t" + std::to_string(tag_) + " ";
  scanner_.expect(head);
  if (!connection_.send(head, command)) return fail(course, commandName() + ": " + connection_.error());
  connection_.watch();
}

void Worker::sendNext(Course& course) { send(course, Stage::request, request()); }

void Worker::sendLogout(Course& course) { send(course, Stage::logout, "LOGOUT\r\n"); }

const std::string& Worker::request() const {
  const std::vector<std::uint32_t>& requests = own_.sessions[session_ % own_.sessions.size()];
  return script_.requests[requests[turn_ % requests.size()]];
}

void Worker::onReady(Course& course) {
  if (!isBusy()) return disregard();
  if (!connection_.flush()) return fail(course, commandName() + ": " + connection_.error());
  std::size_t length = 0;
  switch (connection_.read(block, sizeof block, length)) {
    case Arrival::octets:
      if (scanner_.take(block, length)) return onReply(course);
      [[fallthrough]];
    case Arrival::nothing:
      return connection_.watch();
    case Arrival::ended:
      // Whoever says goodbye may be gone before it is answered.
      if (stage_ == Stage::logout) return onAnswered(course);
      return fail(course, commandName() + ": connection closed by the server");
    case Arrival::failed:
      if (stage_ == Stage::logout) return onAnswered(course);
      return fail(course, commandName() + ": " + connection_.error());
  }
}

/** A held connection between two requests: news of the mailbox, or its end, of which the next request tells. */
void Worker::disregard() {
  std::size_t length = 0;
  const Arrival arrival = connection_.read(block, sizeof block, length);
  if (arrival == Arrival::ended || arrival == Arrival::failed) connection_.close();
}

void Worker::onReply(Course& course) {
  const std::string_view line = scanner_.lastLine();
  if (stage_ == Stage::greeting) {
    if (line.substr(0, greetingStart.size()) != greetingStart) return fail(course, "greeting: " + std::string(line));
    return send(course, Stage::login, "LOGIN " + own_.user + " " + script_.password + "\r\n");
  }
  if (stage_ != Stage::logout && line.substr(0, ok.size()) != ok) return fail(course, commandName() + ": " + std::string(line));
  onAnswered(course);
}

void Worker::onAnswered(Course& course) {
  const Stage stage = stage_;
  const std::int64_t now = nowNs();
  if (stage == Stage::logout) connection_.close();
  if (!isHeld() || stage == Stage::request) course.measures.commands.push_back((stage == Stage::logout ? nowNs() : now) - commandStart_);
  if (stage == Stage::logout) return endSession(course);
  if (isHeld()) {
    stage_ = Stage::rest;
    if (stage == Stage::login) return;
    turn_ += 1;
    if (!course.mayBegin(now)) return;
    course.left -= 1;
    return sendNext(course);
  }
  if (stage == Stage::request) turn_ += 1;
  if (turn_ < own_.sessions[session_ % own_.sessions.size()].size()) return sendNext(course);
  sendLogout(course);
}

void Worker::endSession(Course& course) {
  stage_ = Stage::rest;
  if (isHeld()) return;
  const std::int64_t now = nowNs();
  course.measures.sessions.push_back(now - sessionStart_);
  session_ += 1;
  if (course.mayBegin(now)) beginSession(course, now);
}

void Worker::checkDeadline(Course& course, std::int64_t now) {
  if (isBusy() && now - stepStart_ > script_.replyTimeoutNs)
    fail(course, commandName() + ": no reply within " + std::to_string(script_.replyTimeoutNs / 1'000'000) + " ms");
}

void Worker::fail(Course& course, const std::string& text) {
  stage_ = Stage::rest;
  connection_.close();
  course.measures.addError(text);
}

/** Names the command, never the password. */
std::string Worker::commandName() const {
  switch (stage_) {
    case Stage::rest:
    case Stage::greeting:
      return "greeting";
    case Stage::login:
      return "LOGIN " + own_.user;
    case Stage::request:
      return request().substr(0, std::min(request().find_first_of("\r\n"), mostNamed));
    case Stage::logout:
      return "LOGOUT";
  }
  return "";
}

}  // namespace load
