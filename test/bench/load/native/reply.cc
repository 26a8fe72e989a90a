// Looks at the last line of each piece (reply.h).
#include "reply.h"

#include <algorithm>
#include <cstring>

namespace load {

namespace {

/** A longer line is no tagged one that the client wants; of an error so much is told. */
constexpr std::size_t mostOfLine = 1'024;

}  // namespace

void ReplyScanner::expect(std::string_view tag) {
  tag_ = tag;
  line_.clear();
}

bool ReplyScanner::take(const char* octets, std::size_t length) {
  if (length == 0) return false;
  const bool isWhole = octets[length - 1] == '\n';
  if (tag_.empty()) {
    const void* end = std::memchr(octets, '\n', length);
    const std::size_t size = end == nullptr ? length : static_cast<std::size_t>(static_cast<const char*>(end) - octets);
    line_.append(octets, std::min(size, mostOfLine - std::min(mostOfLine, line_.size())));
    return end != nullptr;
  }
  const void* before = isWhole ? memrchr(octets, '\n', length - 1) : memrchr(octets, '\n', length);
  const char* start = octets;
  if (before != nullptr) {
    start = static_cast<const char*>(before) + 1;
    line_.clear();
  }
  const std::size_t size = length - static_cast<std::size_t>(start - octets);
  line_.append(start, std::min(size, mostOfLine - std::min(mostOfLine, line_.size())));
  if (!isWhole) return false;
  if (line_.compare(0, tag_.size(), tag_) == 0) return true;
  line_.clear();
  return false;
}

std::string_view ReplyScanner::lastLine() const {
  std::string_view line(line_);
  if (line.compare(0, tag_.size(), tag_) == 0) line.remove_prefix(tag_.size());
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

}  // namespace load
