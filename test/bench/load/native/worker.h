// One of the load's clients: logs in, sends its requests one after the other, each when the one before has been answered, and logs out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "connection.h"
#include "measures.h"
#include "reply.h"
#include "script.h"

namespace load {

/** What the workers of a load have in common. */
struct Course {
  /** Nothing is begun after this, ns of the monotonic clock. */
  std::int64_t until = 0;
  /** Sessions, or requests of held workers, that may still be begun. */
  std::uint64_t left = 0;
  Measures measures;

  bool mayBegin(std::int64_t now) const { return now < until && left > 0 && measures.errors.empty(); }
};

class Worker {
 public:
  Worker(const Script& script, const WorkerScript& own, int poll, std::uint32_t key) : script_(script), own_(own), poll_(poll), key_(key) {}

  /** Held workers: connects and logs in. */
  void logIn(Course& course);
  /** Begins the first session, or a held worker's first request, of this course. */
  void begin(Course& course);
  /** Held workers: logs out. */
  void logOut(Course& course);
  /** There is something to read or room to write. */
  void onReady(Course& course);
  /** Looks whether an answer is overdue. */
  void checkDeadline(Course& course, std::int64_t now);

  /** Has something under way. */
  bool isBusy() const { return stage_ != Stage::rest; }
  bool isHeld() const { return own_.isHeld; }

 private:
  enum class Stage { rest, greeting, login, request, logout };

  void connect(Course& course);
  void beginSession(Course& course, std::int64_t now);
  void sendNext(Course& course);
  void sendLogout(Course& course);
  void send(Course& course, Stage stage, std::string_view command);
  void disregard();
  void onReply(Course& course);
  void onAnswered(Course& course);
  void endSession(Course& course);
  void fail(Course& course, const std::string& text);
  std::string commandName() const;
  const std::string& request() const;

  const Script& script_;
  const WorkerScript& own_;
  const int poll_;
  const std::uint32_t key_;
  Connection connection_;
  ReplyScanner scanner_;
  Stage stage_ = Stage::rest;
  unsigned tag_ = 0;
  std::size_t session_ = 0;
  std::size_t turn_ = 0;
  std::int64_t sessionStart_ = 0;
  std::int64_t commandStart_ = 0;
  std::int64_t stepStart_ = 0;
};

}  // namespace load
