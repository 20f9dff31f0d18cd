// Raw rows of a click log → what an exported model takes, by the rules in model.json.
#include "raw_rows.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

namespace serve {
namespace {

using Json = nlohmann::ordered_json;  // the order of the vocabularies is that of their bytes

constexpr float kMissing = -1.0F;
constexpr double kLargest = std::numeric_limits<float>::max();

Whole modulo(Whole number, Whole divisor) {  // never negative, as Python's
  const Whole rest = number % divisor;
  return rest < 0 ? rest + divisor : rest;
}

float integer_feature(const std::optional<Whole>& number) {
  if (!number) return kMissing;
  const float value = static_cast<float>(static_cast<double>(std::max<Whole>(*number, 0)));
  return static_cast<float>(std::log(static_cast<double>(static_cast<float>(static_cast<double>(value) + 1.0))));
}

float float_feature(const std::optional<double>& number) {
  if (!number || std::isnan(*number)) return kMissing;
  const double value = std::clamp(*number, -kLargest, kLargest);
  return static_cast<float>(std::copysign(std::log1p(std::abs(value)), value));
}

int64_t table_row(const Category& category, const std::string& value, int64_t unknown_row) {
  Whole hashed = 0;
  if (category.is_whole_number) {
    const auto number = whole_number(category.name, value);
    if (!number) return 0;
    hashed = category.is_hour ? modulo(*number, 100) : *number;
  } else {
    if (value.empty()) return 0;
    hashed = text_hash(value);
  }
  Whole found = 0;
  if (category.has_vocabulary) {
    const auto key = static_cast<uint64_t>(hashed);
    const auto place = std::lower_bound(category.keys.begin(), category.keys.end(), key);
    const bool is_known = place != category.keys.end() && *place == key;
    found = is_known ? category.rows[place - category.keys.begin()] : unknown_row;
  } else {
    found = 1 + modulo(hashed, category.numbered_rows - 1);
  }
  const bool fits = category.table_rows >= category.numbered_rows || found == 0;
  return static_cast<int64_t>(fits ? found : 1 + modulo(found - 1, category.table_rows - 1));
}

void map_vocabularies(const Json& described, const MappedFile& file, std::vector<Category>& categories) {
  size_t start = 0, expected = 0;
  for (const auto& [column, count] : described["vocabulary_values"].items()) expected += 12 * count.get<size_t>();
  if (file.size() != expected) throw std::runtime_error("vocabulary.bin is not the file that model.json describes");
  for (const auto& [column, count] : described["vocabulary_values"].items()) {
    const auto values = count.get<size_t>();
    const auto category = std::find_if(categories.begin(), categories.end(), [&, name = column](const Category& one) { return one.name == name; });
    if (category == categories.end()) throw std::runtime_error("model.json has a vocabulary of no category: " + column);
    category->has_vocabulary = true;
    category->keys = {reinterpret_cast<const uint64_t*>(file.data() + start), values};
    category->rows = {reinterpret_cast<const int32_t*>(file.data() + start + 8 * values), values};
    start += 12 * values;
  }
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : size_(std::filesystem::file_size(path)) {
  if (size_ == 0) return;
  const int file = open(path.c_str(), O_RDONLY);
  void* mapped = file < 0 ? MAP_FAILED : mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  if (mapped == MAP_FAILED) throw std::runtime_error(path.string() + " cannot be read");
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

RawRows::RawRows(const std::filesystem::path& model_json) {
  static_assert(std::endian::native == std::endian::little, "vocabulary.bin holds little-endian numbers");
  std::ifstream file(model_json);
  if (!file) throw std::runtime_error(model_json.string() + " does not exist; it says how to feed the model");
  const Json document = Json::parse(file);
  const Json &schema = document["schema"], &numbering = document["numbering"], &sizes = document["inputs"][1]["table_rows"];
  columns_ = schema["columns"].get<std::vector<std::string>>();
  integers_ = schema["integers"].get<std::vector<std::string>>();
  floats_ = schema["floats"].get<std::vector<std::string>>();
  label_ = schema["label"].get<std::string>();
  for (const char* role : {"label", "timestamp", "weight"})
    if (const auto column = schema.value(role, ""); !column.empty()) unused_.push_back(column);
  delimiter_ = schema["delimiter"].get<std::string>().at(0);
  unknown_row_ = numbering.value("unknown_category_row", 1);
  list_separator_ = schema.value("list_separator", "|").at(0);
  const Json& inputs = document["inputs"][1];
  const auto contains = [&schema](const char* list, const std::string& name) {
    return schema.contains(list) && std::find(schema[list].begin(), schema[list].end(), name) != schema[list].end();
  };
  for (const auto& name : schema["categories"].get<std::vector<std::string>>()) {
    const bool is_hour = contains("hours", name);
    categories_.push_back({.name = name,
                           .is_whole_number = is_hour || contains("integer_ids", name),
                           .is_hour = is_hour,
                           .table_rows = sizes.at(categories_.size()).get<int64_t>(),
                           .numbered_rows = numbering["table_sizes"][name].get<int64_t>(),
                           .is_list = contains("lists", name),
                           .places = inputs.contains("places") ? inputs["places"].at(categories_.size()).get<size_t>() : 1});
  }
  if (inputs.contains("tables_file"))
    tables_file_ = model_json.parent_path() / inputs["tables_file"]["file"].get<std::string>();
  std::erase_if(unused_, [this](const std::string& column) { return is_input(column); });
  const Json& described = document["raw_rows"];
  if (described["vocabulary"].is_null()) return;
  vocabulary_ = std::make_unique<MappedFile>(model_json.parent_path() / described["vocabulary"]["file"].get<std::string>());
  map_vocabularies(described, *vocabulary_, categories_);
}

size_t RawRows::id_columns() const {
  size_t count = 0;
  for (const auto& category : categories_) count += category.places;
  return count;
}

size_t RawRows::dense_width() const { return std::max<size_t>(1, integers_.size() + floats_.size()); }

bool RawRows::is_input(const std::string& column) const {
  const auto is_it = [&column](const auto& other) { return other == column; };
  return std::any_of(integers_.begin(), integers_.end(), is_it) || std::any_of(floats_.begin(), floats_.end(), is_it) ||
         std::any_of(categories_.begin(), categories_.end(), [&](const Category& one) { return one.name == column; });
}

void RawRows::read_header(std::string_view line) { columns_ = split_fields(line, delimiter_); }

std::unordered_map<std::string_view, const std::string*> RawRows::named(const std::vector<std::string>& fields) const {
  std::vector<std::string_view> names(columns_.begin(), columns_.end());
  if (fields.size() + 1 == names.size()) std::erase(names, label_);
  const auto is_unused = [this](std::string_view name) {
    return std::find(unused_.begin(), unused_.end(), name) != unused_.end();
  };
  if (fields.size() + unused_.size() == names.size() &&
      std::count_if(names.begin(), names.end(), is_unused) == static_cast<std::ptrdiff_t>(unused_.size()))
    std::erase_if(names, is_unused);
  if (fields.size() != names.size())
    throw RowError("found " + std::to_string(fields.size()) + " columns, expected " + std::to_string(names.size()));
  std::unordered_map<std::string_view, const std::string*> row;
  for (size_t at = 0; at < names.size(); ++at) row[names[at]] = &fields[at];
  return row;
}

void RawRows::encode(std::string_view line, std::span<float> dense, std::span<int64_t> ids) const {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (!is_utf8(line)) throw RowError("the line cannot be read: it is not UTF-8");
  const auto fields = split_fields(line, delimiter_);
  const auto row = named(fields);
  const auto value = [&row](const std::string& column) -> const std::string& {
    const auto found = row.find(column);
    if (found == row.end()) throw RowError("column '" + column + "' is absent");
    return *found->second;
  };
  size_t at = 0;
  for (const auto& column : integers_) dense[at++] = integer_feature(whole_number(column, value(column)));
  for (const auto& column : floats_) dense[at++] = float_feature(decimal_number(column, value(column)));
  if (at == 0) dense[0] = 1.0F;
  size_t place = 0;
  for (const auto& category : categories_) {
    const auto own = ids.subspan(place, category.places);
    if (category.is_list)
      encode_list(category, value(category.name), own);
    else
      own[0] = table_row(category, value(category.name), unknown_row_);
    place += category.places;
  }
}

// The first values that are not missing; row 0 where there is none, -1 in the places left.
void RawRows::encode_list(const Category& category, const std::string& value, std::span<int64_t> ids) const {
  std::fill(ids.begin(), ids.end(), -1);
  size_t found = 0;
  for (const auto& one : split_plain(value, list_separator_)) {
    if (found == ids.size()) break;
    if (const int64_t row = table_row(category, one, unknown_row_)) ids[found++] = row;
  }
  if (found == 0) ids[0] = 0;
}

uint64_t text_hash(std::string_view text) {
  uint64_t found = text.size() * 0x9E3779B97F4A7C15ULL;
  for (size_t start = 0; start < text.size(); start += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + start, std::min<size_t>(8, text.size() - start));
    uint64_t z = found ^ word;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    found = z ^ z >> 31;
  }
  return found;
}

}  // namespace serve
