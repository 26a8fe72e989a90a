// Finds replies of SMTP in what comes (RFC 5321 4.2): of several lines the last one counts, which has no hyphen after its code.
#pragma once

#include <string>
#include <string_view>

namespace load {

class SmtpReplyScanner {
 public:
  /** @param octets what has come; what it has looked at is taken off. @returns true when a reply is complete, which `code` and `lastLine` tell */
  bool take(std::string_view& octets);
  /** 0 when the line does not begin with three digits. */
  unsigned code() const;
  /** Without its line end. */
  const std::string& lastLine() const { return line_; }
  void clear();

 private:
  /** The line that has not ended, or the last one; no more than is needed to tell it. */
  std::string line_;
  bool hasEnded_ = true;
};

}  // namespace load
