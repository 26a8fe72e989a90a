// Records and the course of the handshake (tls_client.h).
#include "tls_client.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "tls_hello.h"

namespace load {

namespace {

// Content types (RFC 8446 5.1).
constexpr unsigned char changeCipherSpec = 20;
constexpr unsigned char alert = 21;
constexpr unsigned char handshake = 22;
constexpr unsigned char applicationData = 23;

// Handshake messages (RFC 8446 4).
constexpr unsigned char serverHelloType = 2;
constexpr unsigned char newSessionTicket = 4;
constexpr unsigned char encryptedExtensions = 8;
constexpr unsigned char certificateType = 11;
constexpr unsigned char certificateVerify = 15;
constexpr unsigned char finishedType = 20;

constexpr std::size_t headBytes = 5;
constexpr std::size_t maxPlainBytes = 1 << 14;
constexpr std::size_t maxSealedBytes = maxPlainBytes + 256;
constexpr std::size_t messageHeadBytes = 4;
constexpr std::size_t maxMessageBytes = 1 << 17;
constexpr std::uint16_t ecdsaP256Sha256 = 0x0403;
constexpr unsigned checkedHandshakes = 100;
constexpr unsigned keyUses = 100;

std::size_t number(std::string_view text, std::size_t at, std::size_t length) {
  std::size_t value = 0;
  for (std::size_t end = at + length; at < end; at++) value = value << 8 | (at < text.size() ? static_cast<unsigned char>(text[at]) : 0);
  return value;
}

void putHead(std::string& to, unsigned char type, std::size_t length) {
  const char head[headBytes] = {static_cast<char>(type), 3, 3, static_cast<char>(length >> 8), static_cast<char>(length)};
  to.append(head, headBytes);
}

}  // namespace

bool TlsClient::fail(const std::string& text) {
  error_ = text;
  return false;
}

void TlsClient::begin(std::string& toSend) {
  static unsigned handshakes = 0;
  checksSignature_ = handshakes++ % checkedHandshakes == 0;
  stage_ = Stage::serverHello;
  hasEnded_ = false;
  received_.clear();
  messages_.clear();
  transcript_ = Sha384();
  if (keyUses_++ % keyUses == 0) keys_ = std::make_unique<KeyPair>();
  schedule_.reset();
  const std::string hello = clientHello(keys_->publicKey());
  transcript_.update(hello.data(), hello.size());
  putHead(toSend, handshake, hello.size());
  toSend.append(hello);
}

bool TlsClient::take(std::string_view octets, std::string& plain, std::string& toSend) {
  received_.append(octets);
  std::size_t at = 0;
  while (received_.size() - at >= headBytes) {
    const std::size_t length = number(received_, at + 3, 2);
    if (received_[at + 1] != 3 || length > maxSealedBytes) return fail("TLS: the server sends something else");
    if (received_.size() - at < headBytes + length) break;
    if (!takeRecord(reinterpret_cast<unsigned char*>(received_.data()) + at, headBytes + length, plain, toSend)) return false;
    at += headBytes + length;
  }
  received_.erase(0, at);
  return true;
}

bool TlsClient::takeRecord(unsigned char* record, std::size_t length, std::string& plain, std::string& toSend) {
  unsigned char type = record[0];
  unsigned char* body = record + headBytes;
  std::size_t size = length - headBytes;
  const std::string_view head(reinterpret_cast<char*>(record), headBytes);
  if (type == changeCipherSpec && stage_ != Stage::secure) return true;
  if (type == applicationData && schedule_ != nullptr) {
    if (size < tagBytes + 1 || !opener_.open(head, body, size - tagBytes, body + size - tagBytes)) return fail("TLS: a record is not the server's");
    size -= tagBytes;
    while (size > 0 && body[size - 1] == 0) size -= 1;
    if (size == 0) return fail("TLS: a record without a type");
    type = body[--size];
  } else if (schedule_ != nullptr) {
    return fail("TLS: a record that is not encrypted");
  }
  const std::string_view content(reinterpret_cast<char*>(body), size);
  if (type == alert) return takeAlert(content);
  if (type == handshake) return takeHandshake(content, toSend);
  if (type != applicationData || stage_ != Stage::secure) return fail("TLS: a record of an unexpected type");
  plain.append(content);
  return true;
}

bool TlsClient::takeAlert(std::string_view body) {
  const std::size_t what = number(body, 1, 1);
  hasEnded_ = what == 0;
  return hasEnded_ || fail("TLS: alert " + std::to_string(what));
}

bool TlsClient::takeHandshake(std::string_view octets, std::string& toSend) {
  messages_.append(octets);
  std::size_t at = 0;
  while (messages_.size() - at >= messageHeadBytes) {
    const std::size_t length = messageHeadBytes + number(messages_, at + 1, 3);
    if (length > maxMessageBytes) return fail("TLS: a message of the handshake is too long");
    if (messages_.size() - at < length) break;
    if (!takeMessage(std::string_view(messages_).substr(at, length), toSend)) return false;
    at += length;
  }
  messages_.erase(0, at);
  return true;
}

bool TlsClient::takeMessage(std::string_view message, std::string& toSend) {
  const auto type = static_cast<unsigned char>(message[0]);
  const std::string_view body = message.substr(messageHeadBytes);
  // Tickets: sessions are never resumed.
  if (stage_ == Stage::secure && type == newSessionTicket) return true;
  if (stage_ == Stage::finished && type == finishedType) return takeFinished(message, toSend);
  bool isFine = true;
  if (stage_ == Stage::signature && type == certificateVerify) {
    isFine = !checksSignature_ || checkSignature(body);
    stage_ = Stage::finished;
  } else if (stage_ == Stage::extensions && type == encryptedExtensions) {
    stage_ = Stage::certificate;
  } else if (stage_ == Stage::certificate && type == certificateType) {
    if (checksSignature_) certificate_ = body;
    stage_ = Stage::signature;
  } else if (stage_ != Stage::serverHello || type != serverHelloType) {
    return fail("TLS: an unexpected message of the handshake: " + std::to_string(type));
  }
  transcript_.update(message.data(), message.size());
  return isFine && (type != serverHelloType || takeServerHello(body));
}

bool TlsClient::takeServerHello(std::string_view body) {
  Point serverKey;
  Point shared;
  if (!parseServerHello(body, serverKey, error_)) return false;
  if (!keys_->agree(serverKey, shared)) return fail("TLS: the server's key is none");
  schedule_ = std::make_unique<KeySchedule>(shared, transcript_.digest());
  setTrafficKey(opener_, schedule_->handshake().server);
  setTrafficKey(sealer_, schedule_->handshake().client);
  stage_ = Stage::extensions;
  return true;
}

/** CertificateVerify (RFC 8446 4.4.3), with the first certificate of the server's list (4.4.2). */
bool TlsClient::checkSignature(std::string_view body) {
  const std::size_t listAt = 1 + number(certificate_, 0, 1) + 3;
  const std::size_t length = number(certificate_, listAt, 3);
  if (listAt + 3 + length > certificate_.size() || body.size() < 4) return fail("TLS: a certificate that is none");
  if (number(body, 0, 2) != ecdsaP256Sha256) return fail("TLS: the certificate's signature is not ECDSA with P-256");
  const Hash hash = transcript_.digest();
  std::string text(64, ' ');
  text.append("TLS 1.3, server CertificateVerify").append(1, '\0').append(reinterpret_cast<const char*>(hash.data()), hash.size());
  if (!isSignedBy(std::string_view(certificate_).substr(listAt + 3, length), text, body.substr(4))) return fail("TLS: the signature is not the certificate's");
  return true;
}

bool TlsClient::takeFinished(std::string_view message, std::string& toSend) {
  const TrafficSecrets& secrets = schedule_->handshake();
  const Hash expected = finishedMac(secrets.server, transcript_.digest());
  const std::string_view body = message.substr(messageHeadBytes);
  if (body.size() != expected.size() || std::memcmp(body.data(), expected.data(), expected.size()) != 0) return fail("TLS: the server's Finished is wrong");
  transcript_.update(message.data(), message.size());
  const Hash hash = transcript_.digest();
  // For middleboxes, as OpenSSL does (RFC 8446 D.4).
  putHead(toSend, changeCipherSpec, 1);
  toSend += '\x01';
  const Hash mac = finishedMac(secrets.client, hash);
  std::string finished;
  finished += static_cast<char>(finishedType);
  finished.append(2, '\0');
  finished += static_cast<char>(mac.size());
  finished.append(reinterpret_cast<const char*>(mac.data()), mac.size());
  sealRecord(handshake, finished, toSend);
  const TrafficSecrets application = schedule_->application(hash);
  setTrafficKey(sealer_, application.client);
  setTrafficKey(opener_, application.server);
  stage_ = Stage::secure;
  return true;
}

void TlsClient::seal(std::string_view plain, std::string& toSend) {
  for (; !plain.empty(); plain.remove_prefix(std::min(plain.size(), maxPlainBytes))) sealRecord(applicationData, plain.substr(0, maxPlainBytes), toSend);
}

void TlsClient::sealRecord(unsigned char type, std::string_view plain, std::string& toSend) {
  const std::size_t start = toSend.size();
  const std::size_t size = plain.size() + 1;
  putHead(toSend, applicationData, size + tagBytes);
  toSend.append(plain);
  toSend += static_cast<char>(type);
  toSend.append(tagBytes, '\0');
  auto* record = reinterpret_cast<unsigned char*>(toSend.data()) + start;
  sealer_.seal({reinterpret_cast<char*>(record), headBytes}, record + headBytes, size, record + headBytes + size);
}

}  // namespace load
