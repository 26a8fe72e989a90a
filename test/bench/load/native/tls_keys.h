// The key schedule of TLS 1.3 without earlier sessions (RFC 8446 7.1), for TLS_AES_256_GCM_SHA384.
#pragma once

#include "crypto.h"

namespace load {

/** Secrets of both directions, of the handshake or of what follows it. */
struct TrafficSecrets {
  Hash client;
  Hash server;
};

class KeySchedule {
 public:
  /** @param helloHash of ClientHello and ServerHello */
  KeySchedule(const Point& shared, const Hash& helloHash);

  const TrafficSecrets& handshake() const { return handshake_; }
  /** @param finishedHash of everything up to and with the server's Finished */
  TrafficSecrets application(const Hash& finishedHash) const;

 private:
  Hash secret_;
  TrafficSecrets handshake_;
};

/** What Finished says (RFC 8446 4.4.4). @param hash of everything before it */
Hash finishedMac(const Hash& secret, const Hash& hash);

/** Key and iv of a direction (RFC 8446 7.3). */
void setTrafficKey(RecordCipher& cipher, const Hash& secret);

}  // namespace load
