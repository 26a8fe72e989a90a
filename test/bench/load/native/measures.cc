// Writes measures as JSON (measures.h).
#include "measures.h"

#include <cstdio>

namespace load {

namespace {

constexpr std::size_t mostErrors = 10;
constexpr std::size_t mostErrorBytes = 300;

/** A JSON string. Octets outside ASCII become the characters of Latin-1, so that any answer of a server can be told. */
void appendString(std::string& json, const std::string& text) {
  json += '"';
  for (const char each : text) {
    const auto octet = static_cast<unsigned char>(each);
    if (octet == '"' || octet == '\\') {
      json += '\\';
      json += each;
    } else if (octet < 0x20 || octet > 0x7e) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", octet);
      json += escaped;
    } else {
      json += each;
    }
  }
  json += '"';
}

void appendTimes(std::string& json, const char* name, const std::vector<std::int64_t>& times) {
  json += ",\"";
  json += name;
  json += "\":[";
  for (std::size_t index = 0; index < times.size(); index++) {
    if (index > 0) json += ',';
    json += std::to_string(times[index]);
  }
  json += ']';
}

}  // namespace

void Measures::addError(const std::string& text) {
  const std::string cut = text.substr(0, mostErrorBytes);
  if (errors.size() < mostErrors || errors.count(cut) > 0) errors[cut] += 1;
}

std::string toJson(const Measures& measures) {
  std::string json = "{\"state\":\"done\",\"elapsedNs\":" + std::to_string(measures.elapsedNs) + ",\"cpuNs\":" + std::to_string(measures.cpuNs);
  appendTimes(json, "sessionsNs", measures.sessions);
  appendTimes(json, "commandsNs", measures.commands);
  json += ",\"errors\":[";
  bool isFirst = true;
  for (const auto& [text, count] : measures.errors) {
    if (!isFirst) json += ',';
    isFirst = false;
    json += "{\"count\":" + std::to_string(count) + ",\"text\":";
    appendString(json, text);
    json += '}';
  }
  json += "]}\n";
  return json;
}

std::string failureJson(const std::string& text) {
  std::string json = "{\"state\":\"failed\",\"error\":";
  appendString(json, text.substr(0, mostErrorBytes));
  json += "}\n";
  return json;
}

}  // namespace load
