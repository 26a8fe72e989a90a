// Plays a script: all its workers in one thread, each woken when its connection has something for it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "measures.h"
#include "script.h"
#include "worker.h"

namespace load {

class Load {
 public:
  /** @throws std::runtime_error where the kernel gives no epoll, or TLS is wanted and libcrypto missing */
  explicit Load(const Script& script);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load();

  /** Logs the held workers in. @returns errors, none when all are in */
  Measures logIn();
  /**
   * Closed loop: each worker does one thing after the other until `durationMs` is over or `most` have been begun, and ends what it has begun.
   * An error ends the load, too.
   */
  Measures run(std::uint64_t durationMs, std::uint64_t most);
  void logOut();

 private:
  void finish(Course& course);

  const Script& script_;
  int poll_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace load
