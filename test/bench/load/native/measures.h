// What a load has come to: how often, how long each took, what went wrong.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace load {

/** Of one load. Times in nanoseconds. */
struct Measures {
  /** From the connection's beginning until it is closed again. */
  std::vector<std::int64_t> sessions;
  /** LOGIN (connection and greeting included), each request, LOGOUT; of held workers the requests alone. */
  std::vector<std::int64_t> commands;
  std::map<std::string, std::uint64_t> errors;
  std::int64_t elapsedNs = 0;
  std::int64_t cpuNs = 0;

  /** After the first one nothing new is begun. */
  void addError(const std::string& text);
};

/** One line, its end included: `{"state":"done", ...}`, as native-client.ts reads it. */
std::string toJson(const Measures& measures);

/** `{"state":"failed","error":TEXT}` and a line end. */
std::string failureJson(const std::string& text);

}  // namespace load
