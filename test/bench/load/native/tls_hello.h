// ClientHello and ServerHello of TLS 1.3 (RFC 8446 4.1): what is offered, and what of it the server has taken.
#pragma once

#include <string>
#include <string_view>

#include "crypto.h"

namespace load {

/**
 * The handshake message, its head included. It offers what OpenSSL 3 offers by itself, so that servers have as much to read and to choose from, and
 * prefers what they choose then: TLS_AES_256_GCM_SHA384 and X25519.
 */
std::string clientHello(const Point& publicKey);

/** @param body of a ServerHello @returns the server's key, or an error that says what it has chosen */
bool parseServerHello(std::string_view body, Point& serverKey, std::string& error);

}  // namespace load
