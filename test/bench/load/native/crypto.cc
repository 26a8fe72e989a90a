// Opens libcrypto.so.3 and wraps its calls (crypto.h).
#include "crypto.h"

#include <dlfcn.h>

#include <cstring>
#include <stdexcept>

namespace load {

namespace {

/** NID_X25519. */
constexpr int x25519 = 1034;
// EVP_CIPHER_CTX_ctrl(3ssl).
constexpr int getTag = 0x10;
constexpr int setTag = 0x11;
constexpr std::size_t hmacBlockBytes = 128;

struct Calls {
  int (*shaInit)(void*);
  int (*shaUpdate)(void*, const void*, std::size_t);
  int (*shaFinal)(unsigned char*, void*);
  void* (*newKeyContextById)(int, void*);
  void* (*newKeyContext)(void*, void*);
  void (*freeKeyContext)(void*);
  int (*keygenInit)(void*);
  int (*keygen)(void*, void**);
  int (*rawPublicKey)(const void*, unsigned char*, std::size_t*);
  void* (*newRawPublicKey)(int, void*, const unsigned char*, std::size_t);
  void (*freeKey)(void*);
  int (*deriveInit)(void*);
  int (*deriveSetPeer)(void*, void*);
  int (*derive)(void*, unsigned char*, std::size_t*);
  void* (*newCipherContext)();
  void (*freeCipherContext)(void*);
  void* (*fetchCipher)(void*, const char*, const char*);
  int (*cipherInit)(void*, const void*, const unsigned char*, const unsigned char*, int, const void*);
  int (*cipherUpdate)(void*, unsigned char*, int*, const unsigned char*, int);
  int (*cipherFinal)(void*, unsigned char*, int*);
  int (*controlCipher)(void*, int, int, void*);
  void* (*parseCertificate)(void*, const unsigned char**, long);
  void (*freeCertificate)(void*);
  void* (*certificateKey)(void*);
  void* (*newDigestContext)();
  void (*freeDigestContext)(void*);
  const void* (*sha256)();
  int (*verifyInit)(void*, void*, const void*, void*, void*);
  int (*verify)(void*, const unsigned char*, std::size_t, const unsigned char*, std::size_t);
  /** Shared by all connections. */
  void* aes;
  void* keygenContext;
};

template <typename Function>
void find(void* library, const char* name, Function*& function) {
  void* address = dlsym(library, name);
  if (address == nullptr) throw std::runtime_error(std::string("libcrypto.so.3 has no ") + name);
  function = reinterpret_cast<Function*>(address);
}

Calls loadCalls() {
  void* library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error("TLS needs libcrypto.so.3 (Debian: libssl3)");
  Calls calls{};
  find(library, "SHA384_Init", calls.shaInit);
  find(library, "SHA384_Update", calls.shaUpdate);
  find(library, "SHA384_Final", calls.shaFinal);
  find(library, "EVP_PKEY_CTX_new_id", calls.newKeyContextById);
  find(library, "EVP_PKEY_CTX_new", calls.newKeyContext);
  find(library, "EVP_PKEY_CTX_free", calls.freeKeyContext);
  find(library, "EVP_PKEY_keygen_init", calls.keygenInit);
  find(library, "EVP_PKEY_keygen", calls.keygen);
  find(library, "EVP_PKEY_get_raw_public_key", calls.rawPublicKey);
  find(library, "EVP_PKEY_new_raw_public_key", calls.newRawPublicKey);
  find(library, "EVP_PKEY_free", calls.freeKey);
  find(library, "EVP_PKEY_derive_init", calls.deriveInit);
  find(library, "EVP_PKEY_derive_set_peer", calls.deriveSetPeer);
  find(library, "EVP_PKEY_derive", calls.derive);
  find(library, "EVP_CIPHER_CTX_new", calls.newCipherContext);
  find(library, "EVP_CIPHER_CTX_free", calls.freeCipherContext);
  find(library, "EVP_CIPHER_fetch", calls.fetchCipher);
  find(library, "EVP_CipherInit_ex2", calls.cipherInit);
  find(library, "EVP_CipherUpdate", calls.cipherUpdate);
  find(library, "EVP_CipherFinal_ex", calls.cipherFinal);
  find(library, "EVP_CIPHER_CTX_ctrl", calls.controlCipher);
  find(library, "d2i_X509", calls.parseCertificate);
  find(library, "X509_free", calls.freeCertificate);
  find(library, "X509_get_pubkey", calls.certificateKey);
  find(library, "EVP_MD_CTX_new", calls.newDigestContext);
  find(library, "EVP_MD_CTX_free", calls.freeDigestContext);
  find(library, "EVP_sha256", calls.sha256);
  find(library, "EVP_DigestVerifyInit", calls.verifyInit);
  find(library, "EVP_DigestVerify", calls.verify);
  calls.aes = calls.fetchCipher(nullptr, "AES-256-GCM", nullptr);
  calls.keygenContext = calls.newKeyContextById(x25519, nullptr);
  if (calls.aes == nullptr || calls.keygenContext == nullptr || calls.keygenInit(calls.keygenContext) != 1)
    throw std::runtime_error("libcrypto.so.3 has no AES-256-GCM or X25519");
  return calls;
}

const Calls& calls() {
  static const Calls loaded = loadCalls();
  return loaded;
}

const unsigned char* bytesOf(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

void must(int status, const char* what) {
  if (status != 1) throw std::runtime_error(std::string("libcrypto.so.3 fails: ") + what);
}

}  // namespace

void openCrypto() { calls(); }

Sha384::Sha384() { calls().shaInit(state_); }

void Sha384::update(const void* octets, std::size_t length) { calls().shaUpdate(state_, octets, length); }

Hash Sha384::digest() const {
  Sha384 copy(*this);
  Hash hash;
  calls().shaFinal(hash.data(), copy.state_);
  return hash;
}

Hash hmac(std::string_view key, std::string_view text) {
  unsigned char inner[hmacBlockBytes];
  unsigned char outer[hmacBlockBytes];
  for (std::size_t at = 0; at < hmacBlockBytes; at++) {
    const unsigned char octet = at < key.size() ? static_cast<unsigned char>(key[at]) : 0;
    inner[at] = octet ^ 0x36;
    outer[at] = octet ^ 0x5c;
  }
  Sha384 first;
  first.update(inner, sizeof inner);
  first.update(text.data(), text.size());
  const Hash hash = first.digest();
  Sha384 second;
  second.update(outer, sizeof outer);
  second.update(hash.data(), hash.size());
  return second.digest();
}

KeyPair::KeyPair() : key_(nullptr) { must(calls().keygen(calls().keygenContext, &key_), "X25519 key"); }

KeyPair::~KeyPair() { calls().freeKey(key_); }

Point KeyPair::publicKey() const {
  Point point;
  std::size_t length = point.size();
  must(calls().rawPublicKey(key_, point.data(), &length), "X25519 public key");
  return point;
}

bool KeyPair::agree(const Point& peer, Point& secret) const {
  void* other = calls().newRawPublicKey(x25519, nullptr, peer.data(), peer.size());
  void* context = calls().newKeyContext(key_, nullptr);
  std::size_t length = secret.size();
  const bool isAgreed = other != nullptr && context != nullptr && calls().deriveInit(context) == 1 &&
                        calls().deriveSetPeer(context, other) == 1 && calls().derive(context, secret.data(), &length) == 1;
  calls().freeKeyContext(context);
  calls().freeKey(other);
  return isAgreed;
}

RecordCipher::RecordCipher(bool isSealing) : context_(calls().newCipherContext()), isSealing_(isSealing) {
  must(context_ == nullptr ? 0 : calls().cipherInit(context_, calls().aes, nullptr, nullptr, isSealing ? 1 : 0, nullptr), "AES-256-GCM");
}

RecordCipher::~RecordCipher() { calls().freeCipherContext(context_); }

void RecordCipher::setKey(const unsigned char* key, const unsigned char* iv) {
  std::memcpy(iv_, iv, sizeof iv_);
  number_ = 0;
  must(calls().cipherInit(context_, nullptr, key, nullptr, isSealing_ ? 1 : 0, nullptr), "AES key");
}

/** The nonce is the record's number, in as many octets as the iv, by exclusive or. */
void RecordCipher::beginRecord(std::string_view header) {
  unsigned char nonce[ivBytes];
  std::memcpy(nonce, iv_, sizeof nonce);
  for (std::size_t at = 0; at < 8; at++) nonce[ivBytes - 1 - at] ^= static_cast<unsigned char>(number_ >> (8 * at));
  number_ += 1;
  int length = 0;
  must(calls().cipherInit(context_, nullptr, nullptr, nonce, isSealing_ ? 1 : 0, nullptr), "AES nonce");
  must(calls().cipherUpdate(context_, nullptr, &length, bytesOf(header), static_cast<int>(header.size())), "AES header");
}

void RecordCipher::seal(std::string_view header, unsigned char* octets, std::size_t length, unsigned char* tag) {
  int done = 0;
  beginRecord(header);
  must(calls().cipherUpdate(context_, octets, &done, octets, static_cast<int>(length)), "AES");
  must(calls().cipherFinal(context_, octets + length, &done), "AES end");
  must(calls().controlCipher(context_, getTag, static_cast<int>(tagBytes), tag), "AES tag");
}

bool RecordCipher::open(std::string_view header, unsigned char* octets, std::size_t length, unsigned char* tag) {
  int done = 0;
  beginRecord(header);
  if (calls().cipherUpdate(context_, octets, &done, octets, static_cast<int>(length)) != 1) return false;
  if (calls().controlCipher(context_, setTag, static_cast<int>(tagBytes), tag) != 1) return false;
  return calls().cipherFinal(context_, octets + length, &done) == 1;
}

bool isSignedBy(std::string_view certificate, std::string_view text, std::string_view signature) {
  const unsigned char* at = bytesOf(certificate);
  void* parsed = calls().parseCertificate(nullptr, &at, static_cast<long>(certificate.size()));
  void* key = parsed == nullptr ? nullptr : calls().certificateKey(parsed);
  void* context = calls().newDigestContext();
  const bool isSigned = key != nullptr && context != nullptr && calls().verifyInit(context, nullptr, calls().sha256(), nullptr, key) == 1 &&
                        calls().verify(context, bytesOf(signature), signature.size(), bytesOf(text), text.size()) == 1;
  calls().freeDigestContext(context);
  calls().freeKey(key);
  calls().freeCertificate(parsed);
  return isSigned;
}

}  // namespace load
