// Time for latencies and deadlines: nanoseconds of the monotonic clock.
#pragma once

#include <cstdint>
#include <ctime>

namespace load {

inline std::int64_t nowNs() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/** CPU time of this process so far, user and kernel, ns. */
inline std::int64_t cpuNs() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace load
