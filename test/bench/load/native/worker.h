// One of the load's clients: what IMAP sessions (imap_worker.h) and deliveries (mail_worker.h) have in common, which is a connection, one thing awaited
// on it at a time, and a deadline for that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "connection.h"
#include "measures.h"
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
  virtual ~Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /** Held workers: connects and logs in. */
  virtual void logIn(Course& course) = 0;
  /** Begins the first session, or a held worker's first request, of this course. */
  virtual void begin(Course& course) = 0;
  /** Held workers: logs out. */
  virtual void logOut(Course& course) = 0;
  /** There is something to read or room to write. */
  void onReady(Course& course);
  /** Looks whether an answer is overdue. */
  void checkDeadline(Course& course, std::int64_t now);

  /** Has something under way. */
  virtual bool isBusy() const = 0;
  bool isHeld() const { return own_.isHeld; }

 protected:
  Worker(const Script& script, const WorkerScript& own, int poll, std::uint32_t key) : script_(script), own_(own), poll_(poll), key_(key) {}

  /** Something has come while something was awaited. @returns true when that goes on, and more is to come */
  virtual bool take(Course& course, const char* octets, std::size_t length) = 0;
  /** Has said goodbye: the server may be gone before it is answered. */
  virtual bool isLeaving() const = 0;
  /** The server has closed the connection meanwhile. */
  virtual void onLeft(Course& course) = 0;
  /** Nothing is under way any more. */
  virtual void rest() = 0;
  /** Names what is awaited, never the password. */
  virtual std::string stepName() const = 0;

  /** Connects; the greeting is awaited. */
  void connect(Course& course);
  /** Sends both parts as one; the time for the answer begins. @returns false when that has failed, which has been told */
  bool sendBoth(Course& course, std::string_view head, std::string_view body);
  void fail(Course& course, const std::string& text);

  const Script& script_;
  const WorkerScript& own_;
  Connection connection_;
  std::int64_t stepStart_ = 0;

 private:
  void disregard();

  const int poll_;
  const std::uint32_t key_;
};

/** As the script wants it. */
std::unique_ptr<Worker> makeWorker(const Script& script, const WorkerScript& own, int poll, std::uint32_t key);

}  // namespace load
