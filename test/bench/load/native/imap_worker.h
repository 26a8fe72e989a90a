// A client of IMAP: logs in, sends its requests one after the other, each when the one before has been answered, and logs out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "reply.h"
#include "worker.h"

namespace load {

class ImapWorker final : public Worker {
 public:
  ImapWorker(const Script& script, const WorkerScript& own, int poll, std::uint32_t key) : Worker(script, own, poll, key) {}

  void logIn(Course& course) override;
  void begin(Course& course) override;
  void logOut(Course& course) override;
  bool isBusy() const override { return stage_ != Stage::rest; }

 protected:
  bool take(Course& course, const char* octets, std::size_t length) override;
  bool isLeaving() const override { return stage_ == Stage::logout; }
  void onLeft(Course& course) override { onAnswered(course); }
  void rest() override { stage_ = Stage::rest; }
  std::string stepName() const override;

 private:
  enum class Stage { rest, greeting, login, request, logout };

  void enter(Course& course);
  void beginSession(Course& course, std::int64_t now);
  void sendNext(Course& course);
  void sendLogout(Course& course);
  void send(Course& course, Stage stage, std::string_view command);
  void onReply(Course& course);
  void onAnswered(Course& course);
  void endSession(Course& course);
  const std::string& request() const;

  ReplyScanner scanner_;
  Stage stage_ = Stage::rest;
  unsigned tag_ = 0;
  std::size_t session_ = 0;
  std::size_t turn_ = 0;
  std::int64_t sessionStart_ = 0;
  std::int64_t commandStart_ = 0;
};

}  // namespace load
