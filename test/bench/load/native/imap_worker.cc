// The course of a session (imap_worker.h).
#include "imap_worker.h"

#include <algorithm>

#include "clock.h"

namespace load {

namespace {

constexpr std::size_t mostNamed = 60;
constexpr std::string_view ok = "OK ";
constexpr std::string_view greetingStart = "* OK ";

}  // namespace

void ImapWorker::logIn(Course& course) { enter(course); }

void ImapWorker::begin(Course& course) {
  session_ = 0;
  turn_ = 0;
  const std::int64_t now = nowNs();
  if (!course.mayBegin(now)) return;
  if (!isHeld()) return beginSession(course, now);
  if (!connection_.isOpen()) return fail(course, "the connection has ended");
  course.left -= 1;
  sendNext(course);
}

void ImapWorker::logOut(Course& course) {
  if (connection_.isOpen()) sendLogout(course);
}

void ImapWorker::beginSession(Course& course, std::int64_t now) {
  course.left -= 1;
  turn_ = 0;
  sessionStart_ = now;
  enter(course);
}

void ImapWorker::enter(Course& course) {
  tag_ = 0;
  stage_ = Stage::greeting;
  commandStart_ = nowNs();
  scanner_.expect("");
  connect(course);
}

void ImapWorker::send(Course& course, Stage stage, std::string_view command) {
  stage_ = stage;
  tag_ += 1;
  stepStart_ = nowNs();
  if (stage != Stage::login) commandStart_ = stepStart_;
  const std::string head = "t" + std::to_string(tag_) + " ";
  scanner_.expect(head);
  sendBoth(course, head, command);
}

void ImapWorker::sendNext(Course& course) { send(course, Stage::request, request()); }

void ImapWorker::sendLogout(Course& course) { send(course, Stage::logout, "LOGOUT\r\n"); }

const std::string& ImapWorker::request() const {
  const std::vector<std::uint32_t>& requests = own_.sessions[session_ % own_.sessions.size()];
  return script_.requests[requests[turn_ % requests.size()]];
}

bool ImapWorker::take(Course& course, const char* octets, std::size_t length) {
  if (!scanner_.take(octets, length)) return true;
  onReply(course);
  return false;
}

void ImapWorker::onReply(Course& course) {
  const std::string_view line = scanner_.lastLine();
  if (stage_ == Stage::greeting) {
    if (line.substr(0, greetingStart.size()) != greetingStart) return fail(course, "greeting: " + std::string(line));
    return send(course, Stage::login, "LOGIN " + own_.user + " " + script_.password + "\r\n");
  }
  if (stage_ != Stage::logout && line.substr(0, ok.size()) != ok) return fail(course, stepName() + ": " + std::string(line));
  onAnswered(course);
}

void ImapWorker::onAnswered(Course& course) {
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

void ImapWorker::endSession(Course& course) {
  stage_ = Stage::rest;
  if (isHeld()) return;
  const std::int64_t now = nowNs();
  course.measures.sessions.push_back(now - sessionStart_);
  session_ += 1;
  if (course.mayBegin(now)) beginSession(course, now);
}

std::string ImapWorker::stepName() const {
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
