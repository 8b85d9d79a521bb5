#include "convert/output/verify.h"

#include <algorithm>

#include "convert/base/parallel.h"
#include "convert/tokenizer/tokenized.h"
#include "engine/conversation.h"
#include "engine/engine.h"
#include "file/model_file.h"

namespace edgellm::convert {
namespace {

constexpr i64 BATCH_PANELS = 256;

void require(const Status& status, const std::string& path) {
  if (!status.ok()) io_error(path, ": --verify: ", status.text());
}

// Panel by panel, as `encode` adds up.
Loss loss_of(const Matrix& stored, const Tensor& tensor, const Kernels& kernels, const MappedFile& file) {
  const i64 panels = div_up<i64>(tensor.rows, PANEL);
  // `row` fills whole units.
  const i64 stride = align_up<i64>(tensor.cols, COLUMN_PADDING);
  Loss total;
  std::vector<Loss> losses(static_cast<size_t>(min(panels, BATCH_PANELS)));
  for (i64 first = 0; first < panels; first += BATCH_PANELS) {
    const i64 n = min(BATCH_PANELS, panels - first);
    parallel(n, n * PANEL * tensor.cols >= HEAVY_WEIGHTS, [&](i64 i) {
      const i64 row = (first + i) * PANEL, rows = min<i64>(PANEL, tensor.rows - row);
      std::vector<f32> meant(static_cast<size_t>(rows * tensor.cols)),
          found(static_cast<size_t>(rows * tensor.cols + stride));
      tensor.values(row, rows, meant.data());
      Loss& loss = losses[static_cast<size_t>(i)];
      loss = {};
      for (i64 r = 0; r < rows; r++) {
        kernels.row(stored, static_cast<i32>(row + r), found.data() + r * tensor.cols);
      }
      loss.add(found.data(), meant.data(), rows * tensor.cols);
    });
    file.read(static_cast<u64>(n * PANEL * stride) * sizeof(f32));  // at most
    for (i64 i = 0; i < n; i++) {
      total.error += losses[static_cast<size_t>(i)].error;
      total.signal += losses[static_cast<size_t>(i)].signal;
    }
  }
  return total;
}

void verify_vector(const ModelFile& file, const Tensor& tensor, const std::string& path) {
  const f32* stored = nullptr;
  require(file.vector(text_view(tensor.name), static_cast<i32>(tensor.cols), &stored), path);
  std::vector<f32> meant(static_cast<size_t>(tensor.cols));
  tensor.values(0, 1, meant.data());
  if (!std::equal(meant.begin(), meant.end(), stored)) io_error(path, ": --verify: tensor ", tensor.name, " differs");
}

// `part` is `whole` with characters left out.
bool left_out_of(const std::string& part, const std::string& whole) {
  size_t at = 0;
  for (size_t i = 0; i < whole.size() && at < part.size(); i++)
    at += part[at] == whole[i];
  return at == part.size();
}

}  // namespace

void require_usable(const std::string& path, const std::string& source) {
  File mapped = MappedFile::open(path);
  Engine engine;
  EngineOptions options;
  options.file = {mapped->bytes().data, static_cast<i64>(mapped->bytes().size)};
  options.isa = "ref";
  Status status = plan_engine(options, &engine);
  f32 temperature;
  ChatTemplate chat;
  bool has_chat;
  if (status.ok()) status = engine.file.real_or("temperature", 0, 0, MAX_TEMPERATURE, &temperature);
  if (status.ok()) status = read_chat_template(engine.file, &chat, &has_chat);
  if (!status.ok()) unusable(source, ": the program would refuse the file: ", status.text());
}

std::string verify_tokenizer(const std::string& path, const std::string& text) {
  File mapped = MappedFile::open(path);
  ModelFile file;
  require(file.open({mapped->bytes().data, static_cast<i64>(mapped->bytes().size)}), path);
  if (file.tokenizer().count == 0) return {};
  i32 vocab = 0;
  require(file.number("vocab", 1, MAX_VOCAB, &vocab), path);
  const Tokenizer tokenizer = open_tokenizer(file.tokenizer(), vocab);
  const std::vector<i32> ids = encode_text(tokenizer, text, false);
  TokenizerHeader header;
  std::memcpy(&header, file.tokenizer().data, sizeof header);
  i64 unknown = 0;
  for (i32 id : ids) {
    if (id < 0 || id >= vocab)
      io_error(path, ": --verify: the tokenizer gives the id ", id, ", the model has ", vocab, " ids");
    unknown += id == header.unknown;
  }
  const std::string found = decode_ids(tokenizer, ids),
                    what = convert::text("the tokenizer makes ", ids.size(), " ids of the text");
  if (found == text || found == " " + text) return what + ", which give the same text\n";
  if (unknown > 0) return convert::text("warning: ", what, ", of which ", unknown, " stand for what is unknown\n");
  // What is written in another way in Unicode's normal form may come back so.
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<u8>(c) < 0x80; });
  if (left_out_of(found, text)) {
    return convert::text("warning: ", what, ", which give it without ", text.size() - found.size(), " of its ", text.size(),
                         " bytes\n");
  }
  if (ascii) io_error(path, ": --verify: the tokenizer reads \"", text, "\" back as \"", found, "\"");
  return convert::text("warning: ", what, ", which give \"", found, "\"\n");
}

void verify(const std::string& path, const std::vector<Written>& written) {
  File mapped = MappedFile::open(path);
  ModelFile file;
  require(file.open({mapped->bytes().data, static_cast<i64>(mapped->bytes().size)}), path);
  require(file.check_data(), path);
  if (file.tensors().count != static_cast<i64>(written.size())) {
    io_error(path, ": --verify: ", file.tensors().count, " tensors, expected ", written.size());
  }
  Kernels kernels;
  if (!select_kernels("ref", 0, &kernels)) io_error("--verify: there is no reference kernel set");
  for (const auto& [target, loss] : written) {
    const Tensor& tensor = *target.tensor;
    if (tensor.role == Role::vector) {
      verify_vector(file, tensor, path);
      continue;
    }
    Matrix stored;
    require(file.matrix(text_view(tensor.name), static_cast<i32>(tensor.rows), static_cast<i32>(tensor.cols), &stored),
            path);
    Loss found = loss_of(stored, tensor, kernels, *mapped);
    if (found.error < loss.error || found.error > loss.error) {
      io_error(path, ": --verify: tensor ", tensor.name, " has a squared error of ", found.error, ", expected ", loss.error);
    }
  }
}

}  // namespace edgellm::convert
