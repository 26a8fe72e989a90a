// A client of SMTP or LMTP that delivers one message again and again, each when the one before has been answered. The envelope and DATA go in one
// write (PIPELINING, RFC 2920), the message and the closing line in another when the replies to all of them are there; or everything in one write, with
// BDAT (CHUNKING, RFC 3030).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smtp_reply.h"
#include "worker.h"

namespace load {

class MailWorker final : public Worker {
 public:
  MailWorker(const Script& script, const WorkerScript& own, int poll, std::uint32_t key);

  void logIn(Course& course) override;
  void begin(Course& course) override;
  void logOut(Course& course) override;
  bool isBusy() const override { return stage_ != Stage::rest; }

 protected:
  bool take(Course& course, const char* octets, std::size_t length) override;
  bool isLeaving() const override { return stage_ == Stage::quit; }
  void onLeft(Course& course) override;
  void rest() override { stage_ = Stage::rest; }
  std::string stepName() const override;

 private:
  enum class Stage { rest, greeting, hello, envelope, content, quit };
  struct Expected {
    std::string name;
    unsigned code;
  };

  void send(Course& course, Stage stage, std::string_view head, std::string_view body);
  void deliver(Course& course);
  void onAnswered(Course& course);
  const std::vector<Expected>& expected() const;

  std::string hello_;
  std::string envelope_;
  /** Replies that each stage ends with. */
  std::vector<Expected> greetingReplies_;
  std::vector<Expected> helloReplies_;
  std::vector<Expected> envelopeReplies_;
  std::vector<Expected> contentReplies_;
  std::vector<Expected> quitReplies_;
  SmtpReplyScanner scanner_;
  Stage stage_ = Stage::rest;
  /** Replies of this stage that have come. */
  std::size_t answered_ = 0;
  std::int64_t deliveryStart_ = 0;
};

}  // namespace load
