// Finds the end of an IMAP reply in what comes, without keeping more of it than one line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace load {

/**
 * The tagged line is looked for in the last line only: replies of the benchmark's mailboxes contain no literal that ends in such a line. The client
 * in TypeScript looks the same way.
 */
class ReplyScanner {
 public:
  /** @param tag with the space behind it; empty: the first line is the reply (greeting) */
  void expect(std::string_view tag);
  /** @returns true when the reply is complete; `lastLine()` is its tagged line then */
  bool take(const char* octets, std::size_t length);
  /** The tagged line after its tag, without the line end; what has come of the last line when the reply is not complete. */
  std::string_view lastLine() const;

 private:
  std::string tag_;
  /** The line that has not ended, or the last one; no more than is needed to tell it. */
  std::string line_;
};

}  // namespace load
