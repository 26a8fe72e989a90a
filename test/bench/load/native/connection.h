// One connection to a server on 127.0.0.1, plain or TLS, that never waits: what cannot be sent at once is kept, what has not come is nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tls_client.h"

namespace load {

/** What a read has found. */
enum class Arrival { octets, nothing, ended, failed };

class Connection {
 public:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  /**
   * Begins to connect; TLS handshakes go on in the reads that follow.
   * @param key what epoll tells of events of this connection
   * @returns false when that fails at once, `error()` says why
   */
  bool open(int poll, std::uint32_t key, std::uint16_t port, bool isTls);
  /** Without a farewell of TLS, as the client in TypeScript does. */
  void close();
  bool isOpen() const { return descriptor_ >= 0; }

  /** Sends both parts as one; over TLS not before the handshake is over. @returns false when the connection has failed */
  bool send(std::string_view head, std::string_view body);
  /** Goes on with what could not be sent. @returns false when the connection has failed */
  bool flush();
  /** @param room twice what is read at once */
  Arrival read(char* octets, std::size_t room, std::size_t& length);
  /** Tells the kernel whether there is something to send. Once after each event. */
  void watch();

  const std::string& error() const { return error_; }

 private:
  bool fail(const std::string& text);
  bool failBySystem(const char* call);
  Arrival readTls(char* octets, std::size_t room, std::size_t& length);

  int poll_ = -1;
  int descriptor_ = -1;
  std::uint32_t key_ = 0;
  bool isTls_ = false;
  /** Made for the first connection with TLS, used again by the next ones. */
  std::unique_ptr<TlsClient> tls_;
  std::string plain_;
  std::string unsent_;
  bool isWatchedForWriting_ = false;
  std::string error_;
};

}  // namespace load
