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

namespace load {

namespace {

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
  isTls_ = isTls;
  if (!isTls) return true;
  if (tls_ == nullptr) tls_ = std::make_unique<TlsClient>();
  tls_->begin(unsent_);
  return flush();
}

void Connection::close() {
  // What is closed is watched no more.
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  unsent_.clear();
  isWatchedForWriting_ = false;
}

bool Connection::send(std::string_view head, std::string_view body) {
  if (isTls_) {
    // One record for both.
    plain_.assign(head).append(body);
    tls_->seal(plain_, unsent_);
    return flush();
  }
  if (!unsent_.empty()) {
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
  while (sent < unsent_.size()) {
    const ssize_t result = ::send(descriptor_, unsent_.data() + sent, unsent_.size() - sent, MSG_NOSIGNAL);
    if (result < 0 && !isLater()) return failBySystem("send");
    if (result < 0) break;
    sent += static_cast<std::size_t>(result);
  }
  unsent_.erase(0, sent);
  return true;
}

Arrival Connection::read(char* octets, std::size_t room, std::size_t& length) {
  // TLS may add what it has kept of a record.
  const ssize_t result = recv(descriptor_, octets, room / 2, 0);
  if (result == 0) return Arrival::ended;
  if (result < 0) {
    if (isLater()) return Arrival::nothing;
    failBySystem("connect or read");
    return Arrival::failed;
  }
  length = static_cast<std::size_t>(result);
  return isTls_ ? readTls(octets, room, length) : Arrival::octets;
}

/** @param length of the records that have come; becomes that of what they say */
Arrival Connection::readTls(char* octets, std::size_t room, std::size_t& length) {
  plain_.clear();
  if (!tls_->take({octets, length}, plain_, unsent_)) {
    fail(tls_->error());
    return Arrival::failed;
  }
  if (!flush()) return Arrival::failed;
  length = std::min(plain_.size(), room);
  std::memcpy(octets, plain_.data(), length);
  if (length > 0) return Arrival::octets;
  return tls_->hasEnded() ? Arrival::ended : Arrival::nothing;
}

void Connection::watch() {
  const bool wants = !unsent_.empty();
  if (wants == isWatchedForWriting_ || descriptor_ < 0) return;
  epoll_event event{};
  event.events = EPOLLIN | (wants ? EPOLLOUT : 0U);
  event.data.u32 = key_;
  epoll_ctl(poll_, EPOLL_CTL_MOD, descriptor_, &event);
  isWatchedForWriting_ = wants;
}

}  // namespace load
