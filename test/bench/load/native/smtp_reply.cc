// Looks at each line (smtp_reply.h).
#include "smtp_reply.h"

#include <algorithm>

namespace load {

namespace {

/** Of an error so much is told. */
constexpr std::size_t mostOfLine = 1'024;
constexpr std::size_t codeDigits = 3;

bool isDigit(char octet) { return octet >= '0' && octet <= '9'; }

}  // namespace

void SmtpReplyScanner::clear() {
  line_.clear();
  hasEnded_ = true;
}

bool SmtpReplyScanner::take(std::string_view& octets) {
  while (!octets.empty()) {
    if (hasEnded_) clear();
    const std::size_t end = octets.find('\n');
    const std::size_t size = std::min(end, octets.size());
    line_.append(octets.substr(0, std::min(size, mostOfLine - std::min(mostOfLine, line_.size()))));
    hasEnded_ = end != std::string_view::npos;
    octets.remove_prefix(hasEnded_ ? end + 1 : octets.size());
    if (!hasEnded_) return false;
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    if (line_.size() <= codeDigits || line_[codeDigits] != '-') return true;
  }
  return false;
}

unsigned SmtpReplyScanner::code() const {
  if (line_.size() < codeDigits || !isDigit(line_[0]) || !isDigit(line_[1]) || !isDigit(line_[2])) return 0;
  return static_cast<unsigned>((line_[0] - '0') * 100 + (line_[1] - '0') * 10 + (line_[2] - '0'));
}

}  // namespace load
