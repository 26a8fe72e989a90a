// HKDF-Extract is an HMAC; HKDF-Expand-Label of 48 octets or fewer is one as well (tls_keys.h).
#include "tls_keys.h"

#include <string>

namespace load {

namespace {

std::string_view viewOf(const Hash& hash) { return {reinterpret_cast<const char*>(hash.data()), hash.size()}; }

Hash expandLabel(const Hash& secret, std::string_view label, std::string_view context, std::size_t length) {
  constexpr std::string_view prefix = "tls13 ";
  std::string text;
  text += '\0';
  text += static_cast<char>(length);
  text += static_cast<char>(prefix.size() + label.size());
  text.append(prefix).append(label);
  text += static_cast<char>(context.size());
  text.append(context);
  text += '\x01';
  return hmac(viewOf(secret), text);
}

/** The same for all connections: no pre-shared key. */
const Hash& earlyDerived() {
  static const Hash derived = [] {
    const Hash zeros{};
    return expandLabel(hmac(viewOf(zeros), viewOf(zeros)), "derived", viewOf(Sha384().digest()), hashBytes);
  }();
  return derived;
}

}  // namespace

KeySchedule::KeySchedule(const Point& shared, const Hash& helloHash)
    : secret_(hmac(viewOf(earlyDerived()), {reinterpret_cast<const char*>(shared.data()), shared.size()})),
      handshake_{expandLabel(secret_, "c hs traffic", viewOf(helloHash), hashBytes),
                 expandLabel(secret_, "s hs traffic", viewOf(helloHash), hashBytes)} {}

TrafficSecrets KeySchedule::application(const Hash& finishedHash) const {
  static const Hash empty = Sha384().digest();
  const Hash zeros{};
  const Hash derived = expandLabel(secret_, "derived", viewOf(empty), hashBytes);
  const Hash main = hmac(viewOf(derived), viewOf(zeros));
  return {expandLabel(main, "c ap traffic", viewOf(finishedHash), hashBytes), expandLabel(main, "s ap traffic", viewOf(finishedHash), hashBytes)};
}

Hash finishedMac(const Hash& secret, const Hash& hash) {
  return hmac(viewOf(expandLabel(secret, "finished", {}, hashBytes)), viewOf(hash));
}

void setTrafficKey(RecordCipher& cipher, const Hash& secret) {
  const Hash key = expandLabel(secret, "key", {}, keyBytes);
  const Hash iv = expandLabel(secret, "iv", {}, ivBytes);
  cipher.setKey(key.data(), iv.data());
}

}  // namespace load
