// Reads the script (script.h), with a limit on everything.
#include "script.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

namespace load {

namespace {

constexpr std::size_t maxLineBytes = 1 << 20;
constexpr std::uint64_t maxRequestBytes = 64 << 20;
constexpr std::size_t maxScriptBytes = 256 << 20;
constexpr std::size_t maxRequests = 1'000'000;
constexpr std::size_t maxWorkers = 10'000;
constexpr std::size_t maxSessions = 1'000'000;
constexpr std::uint64_t maxTimeoutMs = 600'000;
constexpr int patienceMs = 600'000;

std::uint32_t parseRequest(const std::string& word, std::size_t known) {
  const std::uint64_t number = parseNumber(word, maxRequests);
  if (number >= known) throw ScriptError("no request " + word);
  return static_cast<std::uint32_t>(number);
}

std::vector<std::uint32_t> parseRequests(std::istringstream& words, std::size_t known) {
  std::vector<std::uint32_t> numbers;
  for (std::string word; words >> word;) numbers.push_back(parseRequest(word, known));
  return numbers;
}

Delivery parseDelivery(std::istringstream& words, std::size_t known) {
  Delivery delivery;
  std::string protocol;
  std::string message;
  words >> protocol >> message >> delivery.sender;
  const std::string chunked = "+bdat";
  delivery.isChunked = protocol.size() > chunked.size() && protocol.compare(protocol.size() - chunked.size(), chunked.size(), chunked) == 0;
  if (delivery.isChunked) protocol.resize(protocol.size() - chunked.size());
  if (protocol != "lmtp" && protocol != "smtp") throw ScriptError("no protocol of deliveries: " + protocol);
  delivery.isLmtp = protocol == "lmtp";
  delivery.message = parseRequest(message, known);
  for (std::string word; words >> word;) delivery.recipients.push_back(word);
  if (delivery.recipients.empty()) throw ScriptError("a delivery to nobody");
  return delivery;
}

WorkerScript& lastWorker(Script& script) {
  if (script.workers.empty()) throw ScriptError("a session of no worker");
  return script.workers.back();
}

void check(const Script& script) {
  if (script.port == 0) throw ScriptError("no port");
  if (script.workers.empty()) throw ScriptError("no worker");
  for (const WorkerScript& worker : script.workers) {
    if (worker.delivery.has_value()) {
      if (!worker.sessions.empty()) throw ScriptError("a worker either delivers or has sessions: " + worker.user);
      continue;
    }
    if (worker.sessions.empty()) throw ScriptError("worker " + worker.user + " has nothing to do");
    if (worker.isHeld && (worker.sessions.size() != 1 || worker.sessions[0].empty()))
      throw ScriptError("a held worker has one list of requests: " + worker.user);
  }
}

}  // namespace

std::uint64_t parseNumber(const std::string& text, std::uint64_t most) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) throw ScriptError("not a number: " + text);
  const std::uint64_t value = std::stoull(text);
  if (value > most) throw ScriptError("too large: " + text);
  return value;
}

bool Input::fill() {
  pollfd ready{STDIN_FILENO, POLLIN, 0};
  const int count = poll(&ready, 1, patienceMs);
  if (count == 0) throw ScriptError("nothing to do for ten minutes");
  if (count < 0 && errno != EINTR) throw ScriptError("standard input cannot be waited for");
  if (count < 0) return true;
  if (used_ > 0) {
    held_.erase(0, used_);
    used_ = 0;
  }
  char block[1 << 16];
  const ssize_t length = read(STDIN_FILENO, block, sizeof block);
  if (length < 0 && errno == EINTR) return true;
  if (length <= 0) return false;
  held_.append(block, static_cast<std::size_t>(length));
  return true;
}

bool Input::line(std::string& text) {
  std::size_t end = 0;
  while ((end = held_.find('\n', used_)) == std::string::npos) {
    if (held_.size() - used_ > maxLineBytes) throw ScriptError("line too long");
    if (!fill()) return false;
  }
  text.assign(held_, used_, end - used_);
  used_ = end + 1;
  return true;
}

std::string Input::octets(std::size_t count) {
  while (held_.size() - used_ < count)
    if (!fill()) throw ScriptError("the input ends in a request");
  std::string result(held_, used_, count);
  used_ += count;
  return result;
}

Script readScript(Input& input) {
  Script script;
  std::size_t bytes = 0;
  std::size_t sessions = 0;
  for (std::string text; input.line(text);) {
    bytes += text.size();
    std::istringstream words(text);
    std::string what;
    std::string value;
    words >> what;
    if (what == "session" || what == "held") {
      WorkerScript& worker = lastWorker(script);
      worker.isHeld = worker.isHeld || what == "held";
      worker.sessions.push_back(parseRequests(words, script.requests.size()));
      if (++sessions > maxSessions) throw ScriptError("too many sessions");
      continue;
    }
    if (what == "deliver") {
      WorkerScript& worker = lastWorker(script);
      worker.isHeld = true;
      worker.delivery = parseDelivery(words, script.requests.size());
      continue;
    }
    words >> value;
    if (what == "start") {
      check(script);
      return script;
    }
    if (what == "port") {
      script.port = static_cast<std::uint16_t>(parseNumber(value, 65'535));
    } else if (what == "tls") {
      script.isTls = true;
    } else if (what == "timeout") {
      script.replyTimeoutNs = static_cast<std::int64_t>(parseNumber(value, maxTimeoutMs)) * 1'000'000;
    } else if (what == "password") {
      script.password = value;
    } else if (what == "worker") {
      script.workers.push_back({value, false, {}, {}});
      if (script.workers.size() > maxWorkers) throw ScriptError("too many workers");
    } else if (what == "request") {
      script.requests.push_back(input.octets(parseNumber(value, maxRequestBytes)));
      bytes += script.requests.back().size();
      if (script.requests.size() > maxRequests) throw ScriptError("too many requests");
      if (input.octets(1) != "\n") throw ScriptError("no line end after a request");
    } else {
      // Not the line itself: it may be the password.
      throw ScriptError("unknown line in the script");
    }
    if (bytes > maxScriptBytes) throw ScriptError("script too long");
  }
  throw ScriptError("the script has no end");
}

}  // namespace load
