// Sockets and TLS without waiting (connection.h).
#include "connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "openssl.h"

namespace load {

namespace {

/** One write of TLS takes an int. */
constexpr std::size_t mostAtOnce = 1 << 20;

bool isLater() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == EINPROGRESS; }

}  // namespace

bool Connection::fail(const std::string& text) {
  error_ = text;
  return false;
}

bool Connection::failBySystem(const char* call) { return fail(std::string(call) + ": " + std::strerror(errno)); }

bool Connection::open(int poll, std::uint32_t key, std::uint16_t port, bool isTls) {
  poll_ = poll;
  key_ = key;
  error_.clear();
  descriptor_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor_ < 0) return failBySystem("socket");
  const int on = 1;
  setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 && errno != EINPROGRESS) return failBySystem("connect");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = key_;
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, descriptor_, &event) < 0) return failBySystem("epoll_ctl");
  if (!isTls) return true;
  const OpenSsl& ssl = openSsl();
  ssl_ = ssl.newSession(ssl.context);
  if (ssl_ == nullptr || ssl.setDescriptor(ssl_, descriptor_) != 1) return fail(takeSslError());
  ssl.setConnectState(ssl_);
  return true;
}

void Connection::close() {
  if (ssl_ != nullptr) openSsl().freeSession(ssl_);
  ssl_ = nullptr;
  // What is closed is watched no more.
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  unsent_.clear();
  readWantsWrite_ = false;
  isWatchedForWriting_ = false;
}

bool Connection::send(std::string_view head, std::string_view body) {
  if (ssl_ != nullptr || !unsent_.empty()) {
    // One record of TLS for both.
    unsent_.append(head).append(body);
    return flush();
  }
  iovec parts[2] = {{const_cast<char*>(head.data()), head.size()}, {const_cast<char*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = body.empty() ? 1 : 2;
  const ssize_t result = sendmsg(descriptor_, &message, MSG_NOSIGNAL);
  if (result < 0 && !isLater()) return failBySystem("send");
  const std::size_t sent = result < 0 ? 0 : static_cast<std::size_t>(result);
  if (sent < head.size()) unsent_.append(head.substr(sent));
  if (sent < head.size() + body.size()) unsent_.append(body.substr(sent - std::min(sent, head.size())));
  return true;
}

bool Connection::flush() {
  std::size_t sent = 0;
  bool isBlocked = false;
  while (sent < unsent_.size() && !isBlocked) {
    const std::size_t length = std::min(unsent_.size() - sent, mostAtOnce);
    if (ssl_ != nullptr) {
      const OpenSsl& ssl = openSsl();
      const int result = ssl.write(ssl_, unsent_.data() + sent, static_cast<int>(length));
      if (result > 0) {
        sent += static_cast<std::size_t>(result);
        continue;
      }
      const int reason = ssl.errorOf(ssl_, result);
      if (reason == sslSystemCall && errno != 0) return failBySystem("send");
      if (reason != sslWantsWrite && reason != sslWantsRead) return fail(takeSslError());
      isBlocked = true;
    } else {
      const ssize_t result = ::send(descriptor_, unsent_.data() + sent, length, MSG_NOSIGNAL);
      if (result < 0 && !isLater()) return failBySystem("send");
      isBlocked = result < 0;
      if (!isBlocked) sent += static_cast<std::size_t>(result);
    }
  }
  unsent_.erase(0, sent);
  return true;
}

Arrival Connection::read(char* octets, std::size_t room, std::size_t& length) {
  if (ssl_ != nullptr) return readTls(octets, room, length);
  const ssize_t result = recv(descriptor_, octets, room, 0);
  if (result == 0) return Arrival::ended;
  if (result < 0) {
    if (isLater()) return Arrival::nothing;
    failBySystem("connect or read");
    return Arrival::failed;
  }
  length = static_cast<std::size_t>(result);
  return Arrival::octets;
}

Arrival Connection::readTls(char* octets, std::size_t room, std::size_t& length) {
  const OpenSsl& ssl = openSsl();
  errno = 0;
  const int result = ssl.read(ssl_, octets, static_cast<int>(room));
  readWantsWrite_ = false;
  if (result > 0) {
    length = static_cast<std::size_t>(result);
    return Arrival::octets;
  }
  switch (ssl.errorOf(ssl_, result)) {
    case sslWantsRead:
      return Arrival::nothing;
    case sslWantsWrite:
      readWantsWrite_ = true;
      return Arrival::nothing;
    case sslHasEnded:
      return Arrival::ended;
    case sslSystemCall:
      if (errno != 0) failBySystem("connect or read");
      else fail(takeSslError());
      return Arrival::failed;
    default:
      fail(takeSslError());
      return Arrival::failed;
  }
}

bool Connection::hasMore() const { return ssl_ != nullptr && openSsl().hasPending(ssl_) == 1; }

void Connection::watch() {
  const bool wants = !unsent_.empty() || readWantsWrite_;
  if (wants == isWatchedForWriting_ || descriptor_ < 0) return;
  epoll_event event{};
  event.events = EPOLLIN | (wants ? EPOLLOUT : 0U);
  event.data.u32 = key_;
  epoll_ctl(poll_, EPOLL_CTL_MOD, descriptor_, &event);
  isWatchedForWriting_ = wants;
}

}  // namespace load
