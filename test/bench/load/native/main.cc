// The load client of `npm run bench`: plays IMAP sessions, or deliveries by SMTP and LMTP, against a server on 127.0.0.1 and tells how long they took.
//
// Standard input: a script (script.h), then for each load a line `go MILLISECONDS MOST`. Standard output: one line of JSON for the script (`ready`, or
// `failed` with an error) and one for each load (`done`, see measures.h). The end of the input logs held workers out and ends the program.
// Exit code 0, or 1 after `failed`.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <sstream>
#include <string>

#include "load.h"
#include "measures.h"
#include "script.h"

namespace {

constexpr std::uint64_t maxDurationMs = 3'600'000;
/** So many times fit into memory and one line of JSON. */
constexpr std::uint64_t maxOperations = 2'000'000;

void say(const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t length = write(STDOUT_FILENO, text.data() + sent, text.size() - sent);
    if (length < 0 && errno == EINTR) continue;
    // The bench is gone.
    if (length < 0) _exit(1);
    sent += static_cast<std::size_t>(length);
  }
}

void runAsked(load::Load& load, const std::string& line) {
  std::istringstream words(line);
  std::string what;
  std::string duration;
  std::string most;
  words >> what >> duration >> most;
  if (what != "go") throw load::ScriptError("expected go: " + line);
  const std::uint64_t durationMs = load::parseNumber(duration, maxDurationMs);
  say(toJson(load.run(durationMs, load::parseNumber(most, maxOperations))));
}

void serve() {
  load::Input input;
  const load::Script script = load::readScript(input);
  load::Load load(script);
  const load::Measures entered = load.logIn();
  if (!entered.errors.empty()) throw load::ScriptError(entered.errors.begin()->first);
  say("{\"state\":\"ready\"}\n");
  for (std::string line; input.line(line);) runAsked(load, line);
  load.logOut();
}

}  // namespace

int main() {
  // Whoever starts the load may be killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  try {
    serve();
    return 0;
  } catch (const std::exception& error) {
    say(load::failureJson(error.what()));
    return 1;
  }
}
