// The event loop (load.h).
#include "load.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "clock.h"
#include "crypto.h"

namespace load {

namespace {

constexpr int eventsAtOnce = 256;
constexpr std::int64_t lookEveryNs = 100'000'000;
constexpr std::size_t expectedCommands = 1 << 17;

Course unlimited() {
  Course course;
  course.until = std::numeric_limits<std::int64_t>::max();
  course.left = std::numeric_limits<std::uint64_t>::max();
  return course;
}

}  // namespace

Load::Load(const Script& script) : script_(script), poll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (poll_ < 0) throw std::runtime_error(std::string("epoll_create1: ") + std::strerror(errno));
  if (script.isTls) openCrypto();
  std::uint32_t key = 0;
  for (const WorkerScript& own : script.workers) workers_.push_back(makeWorker(script_, own, poll_, key++));
}

Load::~Load() { close(poll_); }

Measures Load::logIn() {
  Course course = unlimited();
  for (const std::unique_ptr<Worker>& worker : workers_)
    if (worker->isHeld()) worker->logIn(course);
  finish(course);
  return course.measures;
}

Measures Load::run(std::uint64_t durationMs, std::uint64_t most) {
  Course course;
  course.measures.sessions.reserve(expectedCommands);
  course.measures.commands.reserve(expectedCommands);
  const std::int64_t cpuBefore = cpuNs();
  const std::int64_t start = nowNs();
  course.until = start + static_cast<std::int64_t>(durationMs) * 1'000'000;
  course.left = most;
  for (const std::unique_ptr<Worker>& worker : workers_) worker->begin(course);
  finish(course);
  course.measures.elapsedNs = nowNs() - start;
  course.measures.cpuNs = cpuNs() - cpuBefore;
  return std::move(course.measures);
}

void Load::logOut() {
  Course course = unlimited();
  for (const std::unique_ptr<Worker>& worker : workers_) worker->logOut(course);
  finish(course);
}

/** Returns when no worker has anything under way. */
void Load::finish(Course& course) {
  epoll_event events[eventsAtOnce];
  const auto isBusy = [](const std::unique_ptr<Worker>& worker) { return worker->isBusy(); };
  std::int64_t looked = nowNs();
  while (std::any_of(workers_.begin(), workers_.end(), isBusy)) {
    const int count = epoll_wait(poll_, events, eventsAtOnce, static_cast<int>(lookEveryNs / 1'000'000));
    if (count < 0 && errno != EINTR) throw std::runtime_error(std::string("epoll_wait: ") + std::strerror(errno));
    // A worker has one connection at a time, and one event of it here, so none of these is of a connection that is gone.
    for (int index = 0; index < count; index++) workers_[events[index].data.u32]->onReady(course);
    const std::int64_t now = nowNs();
    if (now - looked < lookEveryNs) continue;
    looked = now;
    for (const std::unique_ptr<Worker>& worker : workers_) worker->checkDeadline(course, now);
  }
}

}  // namespace load
