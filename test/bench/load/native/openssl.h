// The few calls of OpenSSL 3 that a TLS client needs, found in libssl.so.3 when the program runs.
//
// Declared here and not by OpenSSL's headers, so that the client compiles where only the library is installed (Debian: libssl3, which Python and the
// openssl program bring along). Types are opaque, and these functions are part of OpenSSL's stable interface since 1.1.1 (SSL_CTX_new(3ssl) and so on).
#pragma once

#include <string>

namespace load {

struct Ssl;
struct SslContext;
struct SslMethod;

struct OpenSsl {
  const SslMethod* (*clientMethod)();
  int (*initialize)(unsigned long long options, const void* settings);
  SslContext* (*newContext)(const SslMethod*);
  long (*controlContext)(SslContext*, int command, long number, void* pointer);
  void (*setVerify)(SslContext*, int mode, void* callback);
  Ssl* (*newSession)(SslContext*);
  void (*freeSession)(Ssl*);
  int (*setDescriptor)(Ssl*, int descriptor);
  void (*setConnectState)(Ssl*);
  int (*read)(Ssl*, void* octets, int length);
  int (*write)(Ssl*, const void* octets, int length);
  int (*hasPending)(const Ssl*);
  int (*errorOf)(const Ssl*, int result);
  void (*clearErrors)();
  unsigned long (*nextError)();
  void (*describeError)(unsigned long, char* text, std::size_t length);

  /**
   * For connections that are each a full handshake of their own: no session is kept, and the certificate is not verified, as in the client in
   * TypeScript (tls-client.ts). The key is agreed on by X25519, the preferred way of every server measured.
   */
  SslContext* context;
};

/** SSL_get_error(3ssl). */
inline constexpr int sslWantsRead = 2;
inline constexpr int sslWantsWrite = 3;
inline constexpr int sslSystemCall = 5;
inline constexpr int sslHasEnded = 6;

/** The library, opened once. @throws std::runtime_error where it is not installed */
const OpenSsl& openSsl();

/** What has gone wrong in the last call, and an empty list of errors. */
std::string takeSslError();

}  // namespace load
