// Writes and reads the hellos (tls_hello.h).
#include "tls_hello.h"

#include <sys/random.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <stdexcept>

namespace load {

namespace {

constexpr std::uint16_t tls12 = 0x0303;
constexpr std::uint16_t tls13 = 0x0304;
constexpr std::uint16_t aes256GcmSha384 = 0x1302;
constexpr std::uint16_t x25519Group = 0x001d;
constexpr std::size_t randomBytes = 32;
constexpr std::size_t sessionIdBytes = 32;

// Extensions (RFC 8446 4.2 and the registry of the IANA).
constexpr std::uint16_t supportedGroups = 10;
constexpr std::uint16_t pointFormats = 11;
constexpr std::uint16_t signatureAlgorithms = 13;
constexpr std::uint16_t encryptThenMac = 22;
constexpr std::uint16_t extendedMainSecret = 23;
constexpr std::uint16_t sessionTicket = 35;
constexpr std::uint16_t supportedVersions = 43;
constexpr std::uint16_t pskModes = 45;
constexpr std::uint16_t keyShare = 51;

void put16(std::string& to, std::size_t value) {
  to += static_cast<char>(value >> 8);
  to += static_cast<char>(value);
}

void putList(std::string& to, std::initializer_list<std::uint16_t> values) {
  put16(to, values.size() * 2);
  for (const std::uint16_t value : values) put16(to, value);
}

void putExtension(std::string& to, std::uint16_t type, std::string_view body) {
  put16(to, type);
  put16(to, body.size());
  to.append(body);
}

void putListExtension(std::string& to, std::uint16_t type, std::initializer_list<std::uint16_t> values) {
  std::string body;
  putList(body, values);
  putExtension(to, type, body);
}

/** Everything but the client's key: the same for all connections. */
std::string fixedExtensions() {
  std::string all;
  putExtension(all, pointFormats, std::string_view("\x03\x00\x01\x02", 4));
  putListExtension(all, supportedGroups, {x25519Group, 0x0017, 0x001e, 0x0019, 0x0018, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104});
  putExtension(all, sessionTicket, {});
  putExtension(all, encryptThenMac, {});
  putExtension(all, extendedMainSecret, {});
  putListExtension(all, signatureAlgorithms,
                   {0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0303, 0x0301,
                    0x0302, 0x0402, 0x0502, 0x0602});
  putExtension(all, supportedVersions, std::string_view("\x04\x03\x04\x03\x03", 5));
  putExtension(all, pskModes, std::string_view("\x01\x01", 2));
  return all;
}

void putSuites(std::string& to) {
  // Those of TLS 1.3, then those of 1.2, then the signal of secure renegotiation.
  putList(to, {aes256GcmSha384, 0x1303, 0x1301, 0xc02c, 0xc030, 0x009f, 0xcca9, 0xcca8, 0xccaa, 0xc02b, 0xc02f, 0x009e, 0xc024, 0xc028, 0x006b, 0xc023,
               0xc027, 0x0067, 0xc00a, 0xc014, 0x0039, 0xc009, 0xc013, 0x0033, 0x009d, 0x009c, 0x003d, 0x003c, 0x0035, 0x002f, 0x00ff});
}

/** Reads a message from its beginning; past its end everything is empty and `isShort`. */
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::string_view take(std::size_t length) {
    if (length > text_.size()) {
      isShort = true;
      text_ = {};
      return {};
    }
    const std::string_view taken = text_.substr(0, length);
    text_.remove_prefix(length);
    return taken;
  }

  std::size_t number(std::size_t length) {
    std::size_t value = 0;
    for (const char octet : take(length)) value = value << 8 | static_cast<unsigned char>(octet);
    return value;
  }

  bool isAtEnd() const { return text_.empty(); }

  bool isShort = false;

 private:
  std::string_view text_;
};

}  // namespace

std::string clientHello(const Point& publicKey) {
  static const std::string extensions = fixedExtensions();
  char random[randomBytes + sessionIdBytes];
  if (getrandom(random, sizeof random, 0) != sizeof random) throw std::runtime_error("getrandom fails");
  std::string share;
  put16(share, 4 + publicKey.size());
  put16(share, x25519Group);
  put16(share, publicKey.size());
  share.append(reinterpret_cast<const char*>(publicKey.data()), publicKey.size());
  std::string body;
  put16(body, tls12);
  body.append(random, randomBytes);
  body += static_cast<char>(sessionIdBytes);
  body.append(random + randomBytes, sessionIdBytes);
  putSuites(body);
  body += '\x01';
  body += '\0';
  put16(body, extensions.size() + 4 + share.size());
  body.append(extensions);
  putExtension(body, keyShare, share);
  std::string message("\x01\0", 2);
  put16(message, body.size());
  return message + body;
}

bool parseServerHello(std::string_view body, Point& serverKey, std::string& error) {
  Reader hello(body);
  hello.take(2 + randomBytes);
  hello.take(hello.number(1));
  const std::size_t suite = hello.number(2);
  hello.take(1);
  Reader extensions(hello.take(hello.number(2)));
  std::size_t version = 0;
  std::string_view key;
  while (!extensions.isAtEnd()) {
    const std::size_t type = extensions.number(2);
    Reader extension(extensions.take(extensions.number(2)));
    if (type == supportedVersions) version = extension.number(2);
    if (type == keyShare && extension.number(2) == x25519Group) key = extension.take(extension.number(2));
  }
  if (hello.isShort || extensions.isShort) {
    error = "TLS: a ServerHello that is none";
  } else if (version != tls13 || suite != aes256GcmSha384) {
    error = "TLS: the server has chosen version " + std::to_string(version) + " and suite " + std::to_string(suite) + ", not 1.3 and AES-256-GCM";
  } else if (key.size() != serverKey.size()) {
    // A HelloRetryRequest has none, either.
    error = "TLS: the server wants no X25519";
  } else {
    std::memcpy(serverKey.data(), key.data(), key.size());
    return true;
  }
  return false;
}

}  // namespace load
