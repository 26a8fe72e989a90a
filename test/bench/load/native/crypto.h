// What a TLS client needs of libcrypto.so.3, found when the program runs.
//
// Declared here and not by OpenSSL's headers, so that the client compiles where only the library is installed (Debian: libssl3, which Python and the
// openssl program bring along). All of these functions are part of OpenSSL's stable interface.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace load {

/** SHA-384, the hash of TLS_AES_256_GCM_SHA384. */
inline constexpr std::size_t hashBytes = 48;
inline constexpr std::size_t keyBytes = 32;
inline constexpr std::size_t ivBytes = 12;
inline constexpr std::size_t tagBytes = 16;
/** Of X25519: keys and secrets. */
inline constexpr std::size_t pointBytes = 32;

using Hash = std::array<unsigned char, hashBytes>;
using Point = std::array<unsigned char, pointBytes>;

/** @throws std::runtime_error where the library is not installed, or has not what is needed */
void openCrypto();

class Sha384 {
 public:
  Sha384();
  void update(const void* octets, std::size_t length);
  /** Of what has come so far; more may follow. */
  Hash digest() const;

 private:
  // SHA512_CTX has 216 octets.
  alignas(16) unsigned char state_[256];
};

/** HMAC-SHA384 (RFC 2104). @param key 128 octets at most */
Hash hmac(std::string_view key, std::string_view text);

/** X25519 (RFC 7748). */
class KeyPair {
 public:
  KeyPair();
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  ~KeyPair();

  Point publicKey() const;
  /** @returns false when the peer's key is none */
  bool agree(const Point& peer, Point& secret) const;

 private:
  void* key_;
};

/** AES-256-GCM of the records of one direction (RFC 8446 5.2, 5.3). */
class RecordCipher {
 public:
  explicit RecordCipher(bool isSealing);
  RecordCipher(const RecordCipher&) = delete;
  RecordCipher& operator=(const RecordCipher&) = delete;
  ~RecordCipher();

  /** A new key: the first record that follows has the number 0. */
  void setKey(const unsigned char* key, const unsigned char* iv);
  /** In place. @param header authenticated with it @param tag 16 octets, written */
  void seal(std::string_view header, unsigned char* octets, std::size_t length, unsigned char* tag);
  /** In place. @returns false when the tag is not that of these octets */
  bool open(std::string_view header, unsigned char* octets, std::size_t length, unsigned char* tag);

 private:
  void beginRecord(std::string_view header);

  void* context_;
  const bool isSealing_;
  unsigned char iv_[ivBytes] = {};
  std::uint64_t number_ = 0;
};

/**
 * ECDSA with P-256 and SHA-256.
 * @param certificate DER @param signature DER
 */
bool isSignedBy(std::string_view certificate, std::string_view text, std::string_view signature);

}  // namespace load
