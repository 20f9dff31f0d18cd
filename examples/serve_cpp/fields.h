// A line of text into its fields, and a field into a number: what raw_rows.py beside model.json does with text.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace serve {

// What is wrong with one row; the rows beside it are scored.
struct RowError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A whole number of 64 bits with or without a sign: -2^63 to 2^64 - 1.
using Whole = __int128;

// Whether the bytes are UTF-8 as Python reads it: no surrogates, nothing longer than needed, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes);

// The fields of a line without its end. Lines with commas may quote, as Python's csv module reads them.
// Throws RowError for what that module refuses.
std::vector<std::string> split_fields(std::string_view line, char delimiter);

// The parts of a text between separators.
std::vector<std::string> split_plain(std::string_view text, char separator);

// A whole number; nothing where the text is empty. Throws RowError naming the column for anything else.
std::optional<Whole> whole_number(const std::string& column, const std::string& text);

// A decimal number (also nan and inf); nothing where the text is empty. Throws RowError naming the column.
std::optional<double> decimal_number(const std::string& column, const std::string& text);

// The beginning of a value in quotes, bytes that are not plain ASCII as \xNN.
std::string shown(std::string_view value);

}  // namespace serve
