// Scores raw rows with an exported model, without Python:
//
//   serve_cpp MODEL ROWS    MODEL: model.pt or model.pt2, with model.json (and vocabulary.bin) beside it
//                           ROWS: a file of lines as the log has them, or - for standard input
//
// Prints a line for each row, in order: its probability, or "error: " and what is wrong with the row. Ends with 0 however
// many rows are bad, with 1 where the model or the file cannot be read. Memory does not grow with the rows.
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/script.h>

#include "raw_rows.h"

namespace {

constexpr size_t kBatch = 1024;  // rows that the model is given at a time

// A model of either format.
class Model {
 public:
  explicit Model(const std::string& path) {
    if (path.ends_with(".pt2"))
      package_ = std::make_unique<torch::inductor::AOTIModelPackageLoader>(path);
    else
      script_ = torch::jit::load(path, torch::kCPU);
  }

  // Takes the tables from a file of their own, mapped into memory.
  void map_tables(const std::string& path) { script_->run_method("map_tables", path); }

  // Dense [B, I] float32 and ids [B, C] int64 → probability [B].
  at::Tensor operator()(const at::Tensor& dense, const at::Tensor& ids) {
    if (package_) return package_->run({dense, ids}).at(0);
    return script_->forward({dense, ids}).toTensor();
  }

 private:
  std::optional<torch::jit::Module> script_;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> package_;
};

// Scores the lines that were read and prints them; errors keep their places.
void print_scores(Model& model, const serve::RawRows& rows, const std::vector<std::string>& lines) {
  const auto count = static_cast<int64_t>(lines.size());
  at::Tensor dense = torch::zeros({count, static_cast<int64_t>(rows.dense_width())}, torch::kFloat32);
  at::Tensor ids = torch::zeros({count, static_cast<int64_t>(rows.id_columns())}, torch::kInt64);
  std::vector<std::string> errors(lines.size());
  for (size_t at = 0; at < lines.size(); ++at) {
    const std::span own_dense(dense.data_ptr<float>() + at * rows.dense_width(), rows.dense_width());
    const std::span own_ids(ids.data_ptr<int64_t>() + at * rows.id_columns(), rows.id_columns());
    try {
      rows.encode(lines[at], own_dense, own_ids);
    } catch (const serve::RowError& error) {
      errors[at] = error.what();
      std::fill(own_dense.begin(), own_dense.end(), 0.0F);  // a row that is fine, in its place
      std::fill(own_ids.begin(), own_ids.end(), 0);
    }
  }
  const at::Tensor probability = model(dense, ids).contiguous();
  for (size_t at = 0; at < lines.size(); ++at) {
    if (errors[at].empty())
      std::printf("%.9g\n", probability.data_ptr<float>()[at]);
    else
      std::printf("error: %s\n", errors[at].c_str());
  }
}

void score(const std::string& model_path, std::istream& file) {
  serve::RawRows rows(std::filesystem::path(model_path).replace_extension(".json"));
  Model model(model_path);
  if (!rows.tables_file().empty()) model.map_tables(rows.tables_file().string());
  std::string line;
  if (rows.has_header() && std::getline(file, line)) {
    while (!line.empty() && line.back() == '\r') line.pop_back();
    rows.read_header(line);
  }
  std::vector<std::string> lines;
  while (std::getline(file, line)) {
    lines.push_back(std::move(line));
    if (lines.size() == kBatch) {
      print_scores(model, rows, lines);
      lines.clear();
    }
  }
  if (!lines.empty()) print_scores(model, rows, lines);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::cerr << "usage: serve_cpp MODEL ROWS    (model.pt or model.pt2; a file of lines, or - for standard input)\n";
    return 1;
  }
  const c10::InferenceMode no_gradients;
  try {
    std::ifstream file;
    if (std::string_view(arguments[2]) != "-") {
      file.open(arguments[2]);
      if (!file) throw std::runtime_error(std::string(arguments[2]) + " cannot be read");
    }
    score(arguments[1], file.is_open() ? file : std::cin);
  } catch (const std::exception& error) {
    std::cerr << "serve_cpp: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
