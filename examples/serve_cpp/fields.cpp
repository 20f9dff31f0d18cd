// A line of text into its fields, and a field into a number.
#include "fields.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace serve {
namespace {

constexpr size_t kShown = 40;             // characters of a value that an error shows
constexpr size_t kLargestQuoted = 131072; // csv.field_size_limit() of Python
constexpr size_t kMostDigits = 20;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

size_t leading_digits(std::string_view text) {
  return std::find_if_not(text.begin(), text.end(), is_digit) - text.begin();
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

// [+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf|infinity)
bool is_decimal(std::string_view text) {
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) text.remove_prefix(1);
  for (auto word : {"nan", "inf", "infinity"})
    if (equals_ignoring_case(text, word)) return true;
  const size_t whole = leading_digits(text);
  text.remove_prefix(whole);
  size_t fraction = 0;
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    fraction = leading_digits(text);
    text.remove_prefix(fraction);
  }
  if (whole + fraction == 0) return false;
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) {
    text.remove_prefix(1);
    if (!text.empty() && (text[0] == '+' || text[0] == '-')) text.remove_prefix(1);
    const size_t exponent = leading_digits(text);
    if (exponent == 0) return false;
    text.remove_prefix(exponent);
  }
  return text.empty();
}

RowError wrong(const std::string& column, std::string_view value, const char* expected) {
  return RowError("column '" + column + "': found " + shown(value) + ", expected " + expected);
}

// Fields of a line that may quote, by the states of Python's csv.reader.
std::vector<std::string> split_quoted(std::string_view line, char delimiter) {
  enum class State { start, plain, quoted, quote_in_quoted };
  std::vector<std::string> fields;
  if (line.empty()) return fields;
  std::string field;
  State state = State::start;
  for (size_t at = 0; at < line.size(); ++at) {
    const char c = line[at];
    const bool inside = state == State::quoted;
    if (!inside && (c == '\r' || c == '\n')) throw RowError("the line cannot be read: a line end inside it");
    if (inside && c == '"') {
      state = State::quote_in_quoted;
    } else if (state == State::start && c == '"') {
      state = State::quoted;
    } else if (!inside && c == delimiter) {
      fields.push_back(std::move(field));
      field.clear();
      state = State::start;
    } else {
      if (state == State::quote_in_quoted && c == '"') state = State::quoted;
      else if (!inside) state = State::plain;
      if (field.size() >= kLargestQuoted) throw RowError("the line cannot be read: a field of more than 131072 bytes");
      field.push_back(c);
    }
  }
  fields.push_back(std::move(field));
  return fields;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const unsigned char first = bytes[at];
    const size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length == 0 || at + length > bytes.size()) return false;
    for (size_t next = 1; next < length; ++next)
      if ((static_cast<unsigned char>(bytes[at + next]) & 0xC0) != 0x80) return false;
    if (length > 2) {
      const unsigned char second = bytes[at + 1];
      if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) return false;
      if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) return false;
    }
    at += length;
  }
  return true;
}

std::vector<std::string> split_fields(std::string_view line, char delimiter) {
  return delimiter == ',' ? split_quoted(line, delimiter) : split_plain(line, delimiter);
}

std::vector<std::string> split_plain(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<Whole> whole_number(const std::string& column, const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::string_view digits = stripped(text);
  const bool is_negative = !digits.empty() && digits[0] == '-';
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
  const bool is_number = !digits.empty() && digits.size() <= kMostDigits && leading_digits(digits) == digits.size();
  Whole number = 0;
  for (size_t at = 0; is_number && at < digits.size(); ++at) number = number * 10 + (digits[at] - '0');
  if (is_negative) number = -number;
  if (!is_number || number < -(Whole(1) << 63) || number >= (Whole(1) << 64))
    throw wrong(column, text, "a whole number of 64 bits or nothing");
  return number;
}

std::optional<double> decimal_number(const std::string& column, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::string number(stripped(text));
  if (!is_decimal(number)) throw wrong(column, text, "a number or nothing");
  return std::strtod(number.c_str(), nullptr);  // out of range it is infinite, as in Python
}

std::string shown(std::string_view value) {
  std::string text = "'";
  for (const char c : value.substr(0, kShown)) {
    char escaped[5];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
    text += c >= ' ' && c <= '~' ? std::string(1, c) : std::string(escaped);
  }
  return text + (value.size() > kShown ? "…" : "'");
}

}  // namespace serve
