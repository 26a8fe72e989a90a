// Opens libssl.so.3 and makes the context that all connections share (openssl.h).
#include "openssl.h"

#include <dlfcn.h>

#include <cstdint>
#include <stdexcept>

namespace load {

namespace {

/** OPENSSL_INIT_NO_LOAD_CONFIG: what the machine's openssl.cnf prefers is nothing that a figure should depend on. */
constexpr unsigned long long withoutConfiguration = 0x80;

// SSL_CTX_ctrl(3ssl), as the macros of openssl/ssl.h call it.
constexpr int setMode = 33;
constexpr int setReadAhead = 41;
constexpr int setSessionCacheMode = 44;
constexpr int setGroupsList = 92;
/** SSL_MODE_ENABLE_PARTIAL_WRITE and SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER. */
constexpr long partialWrites = 1 | 2;
constexpr int verifyNone = 0;

void* openLibrary() {
  void* library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error("TLS needs libssl.so.3 (Debian: libssl3)");
  return library;
}

template <typename Function>
void find(void* library, const char* name, Function*& function) {
  // libssl depends on libcrypto, so what the latter has is found as well.
  void* address = dlsym(library, name);
  if (address == nullptr) throw std::runtime_error(std::string("libssl.so.3 has no ") + name);
  function = reinterpret_cast<Function*>(address);
}

OpenSsl loadCalls() {
  void* library = openLibrary();
  OpenSsl ssl{};
  find(library, "TLS_client_method", ssl.clientMethod);
  find(library, "OPENSSL_init_ssl", ssl.initialize);
  find(library, "SSL_CTX_new", ssl.newContext);
  find(library, "SSL_CTX_ctrl", ssl.controlContext);
  find(library, "SSL_CTX_set_verify", ssl.setVerify);
  find(library, "SSL_new", ssl.newSession);
  find(library, "SSL_free", ssl.freeSession);
  find(library, "SSL_set_fd", ssl.setDescriptor);
  find(library, "SSL_set_connect_state", ssl.setConnectState);
  find(library, "SSL_read", ssl.read);
  find(library, "SSL_write", ssl.write);
  find(library, "SSL_has_pending", ssl.hasPending);
  find(library, "SSL_get_error", ssl.errorOf);
  find(library, "ERR_clear_error", ssl.clearErrors);
  find(library, "ERR_get_error", ssl.nextError);
  find(library, "ERR_error_string_n", ssl.describeError);
  return ssl;
}

SslContext* makeContext(const OpenSsl& ssl) {
  ssl.initialize(withoutConfiguration, nullptr);
  SslContext* context = ssl.newContext(ssl.clientMethod());
  if (context == nullptr) throw std::runtime_error("OpenSSL makes no context");
  char groups[] = "X25519:P-256";
  ssl.controlContext(context, setSessionCacheMode, 0, nullptr);
  ssl.controlContext(context, setMode, partialWrites, nullptr);
  // A flight of records by one call instead of two for each record.
  ssl.controlContext(context, setReadAhead, 1, nullptr);
  if (ssl.controlContext(context, setGroupsList, 0, groups) != 1) throw std::runtime_error("OpenSSL has no X25519");
  ssl.setVerify(context, verifyNone, nullptr);
  return context;
}

}  // namespace

const OpenSsl& openSsl() {
  static const OpenSsl opened = [] {
    OpenSsl ssl = loadCalls();
    ssl.context = makeContext(ssl);
    return ssl;
  }();
  return opened;
}

std::string takeSslError() {
  const OpenSsl& ssl = openSsl();
  const unsigned long code = ssl.nextError();
  ssl.clearErrors();
  if (code == 0) return "TLS connection closed by the server";
  char text[256];
  ssl.describeError(code, text, sizeof text);
  return text;
}

}  // namespace load
