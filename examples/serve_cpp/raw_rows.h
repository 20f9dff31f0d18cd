// Raw rows of a click log → what an exported model takes, by the rules in model.json: raw_rows.py in C++, for text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

#include "fields.h"

namespace serve {

// A file mapped into memory for reading.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A categorical column: how a value becomes a row of its table.
struct Category {
  std::string name;
  bool is_whole_number = false;         // else text
  bool is_hour = false;                 // YYMMDDHH, of which the hour counts
  Whole table_rows = 0;                 // of the model
  Whole numbered_rows = 0;              // into which values are numbered; folded where they are more
  bool is_list = false;                 // any number of values in a row, text with separators between them
  size_t places = 1;                    // columns of ids: values that a list keeps
  bool has_vocabulary = false;
  std::span<const uint64_t> keys = {};  // of the vocabulary, ascending
  std::span<const int32_t> rows = {};   // the row of each
};

// The encoder of one exported model.
class RawRows {
 public:
  // Reads model.json and maps vocabulary.bin beside it. Throws std::runtime_error where they do not fit.
  explicit RawRows(const std::filesystem::path& model_json);

  // Whether the log's files begin with a line that names their columns.
  bool has_header() const { return columns_.empty(); }
  // Takes the columns of such a line.
  void read_header(std::string_view line);

  size_t dense_width() const;                                  // I, 1 without numbers
  size_t id_columns() const;                                   // C, F without lists

  // The file that the model's tables are mapped from; empty where they are in the model's own.
  const std::filesystem::path& tables_file() const { return tables_file_; }

  // Writes dense inputs [I] and table rows [C] of a line of raw text, which may lack the label, or all columns that no
  // model reads: the label, a timestamp that is no input, and the weight of a row. Throws RowError with the column, the
  // value and what was expected.
  void encode(std::string_view line, std::span<float> dense, std::span<int64_t> ids) const;

 private:
  std::unordered_map<std::string_view, const std::string*> named(const std::vector<std::string>& fields) const;
  bool is_input(const std::string& column) const;
  void encode_list(const Category& category, const std::string& value, std::span<int64_t> ids) const;

  std::vector<std::string> columns_, integers_, floats_;
  std::vector<Category> categories_;
  std::filesystem::path tables_file_;
  std::string label_;
  std::vector<std::string> unused_;  // columns that no model reads
  char delimiter_ = '\t', list_separator_ = '|';
  int64_t unknown_row_ = 1;
  std::unique_ptr<MappedFile> vocabulary_;
};

// The 64-bit hash of a text's bytes (numbering.text_hash in model.json says it in words).
uint64_t text_hash(std::string_view text);

}  // namespace serve
