// What the load client is to do, as the bench tells it on standard input: where to connect, and what each worker plays.
//
// Lines, in this order; numbers are decimal:
//   port NUMBER              of 127.0.0.1
//   tls                      TLS from the first octet
//   timeout MILLISECONDS     the longest wait for a reply
//   password TEXT            of all users
//   request OCTETS           followed by that many octets and LF: what a command sends after its tag and a space, line end included;
//                            requests are numbered from 0
//   worker USER              the lines up to the next `worker` are this one's
//   session NUMBER...        log in, send these requests one after the other, log out
//   held NUMBER...           log in before the load begins, send these requests in turn as long as it lasts, log out after all loads
//   deliver lmtp|smtp|lmtp+bdat|smtp+bdat NUMBER SENDER RECIPIENT...
//                            say hello before the load begins, deliver this message (a request, dot-stuffed unless by BDAT, without the closing line) again and
//                            again as long as it lasts, quit after all loads; nobody logs in
//   start                    the end
// A worker has either sessions, which it plays in turn, or one `held`, or one `deliver`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace load {

/** The script or a later line is not what it should be; the message says where. */
struct ScriptError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Delivery {
  bool isLmtp = false;
  /** The message goes with the envelope, by BDAT. */
  bool isChunked = false;
  /** Number of a request. */
  std::uint32_t message = 0;
  std::string sender;
  /** One at least. */
  std::vector<std::string> recipients;
};

struct WorkerScript {
  std::string user;
  /** Logs in, or says hello, before the load begins. */
  bool isHeld = false;
  /** Numbers of requests; of a held worker there is one list. */
  std::vector<std::vector<std::uint32_t>> sessions;
  /** In place of sessions. */
  std::optional<Delivery> delivery;
};

struct Script {
  std::uint16_t port = 0;
  bool isTls = false;
  std::int64_t replyTimeoutNs = 60'000'000'000;
  std::string password;
  std::vector<std::string> requests;
  std::vector<WorkerScript> workers;
};

/** Reads lines and octets of standard input, each read with a deadline. */
class Input {
 public:
  /** @returns false at the end. @throws ScriptError when nothing comes for ten minutes, or the line is too long */
  bool line(std::string& text);
  /** @throws ScriptError when the input ends before */
  std::string octets(std::size_t count);

 private:
  bool fill();

  std::string held_;
  std::size_t used_ = 0;
};

/** A decimal number, nothing else. @throws ScriptError */
std::uint64_t parseNumber(const std::string& text, std::uint64_t most);

/** @throws ScriptError */
Script readScript(Input& input);

}  // namespace load
