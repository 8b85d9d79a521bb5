// The layout of I2_S tensors: the bundled model as a GGUF file in either, told apart by the text it expects.
#include <algorithm>

#include "convert/tokenizer/vocabulary.h"
#include "convert_checks.h"
#include "gguf_source.h"
#include "text/unicode.h"

using namespace convert_checks;
using edgellm::convert::I2sLayout;

namespace {

// GPT-2's printable spelling.
std::string printable(const std::string& bytes) {
  std::string out;
  for (char byte : bytes) {
    uint32_t character = 0;
    while (edgellm::convert::byte_of_printable(character) != static_cast<uint8_t>(byte))
      character++;
    char encoded[4];
    out.append(encoded, static_cast<size_t>(edgellm::utf8_encode(character, encoded)));
  }
  return out;
}

void add_tokenizer(sources::Gguf* gguf, const model_reader::Buffer& section) {
  edgellm::TokenizerHeader h;
  std::memcpy(&h, section.data(), sizeof h);
  auto number = [&](edgellm::TokenizerTable table, size_t index) {
    return model_reader::at<uint32_t>(section, table.offset + 4 * index);
  };
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  for (uint32_t id = 0; id < h.vocab; id++) {
    const uint8_t* bytes = section.data() + h.piece_bytes.offset;
    std::string piece(bytes + number(h.piece_offsets, id), bytes + number(h.piece_offsets, id + 1));
    bool special = section[h.attributes.offset + id] & edgellm::TOKEN_SPECIAL;
    tokens.push_back(special ? piece : printable(piece));
    types.push_back(special ? 3 : 1);
  }
  std::map<uint32_t, std::string> by_rank;
  for (uint32_t slot = 0; slot < h.pairs.count; slot++) {
    uint32_t left = number(h.pairs, 4 * slot), right = number(h.pairs, 4 * slot + 1);
    if (number(h.pairs, 4 * slot + 3) == edgellm::NO_TOKEN) continue;
    by_rank[number(h.pairs, 4 * slot + 2)] = tokens[left] + " " + tokens[right];
  }
  std::vector<std::string> merges;
  for (const auto& [rank, merge] : by_rank)
    merges.push_back(merge);
  gguf->text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2").texts("tokenizer.ggml.tokens", tokens);
  gguf->numbers("tokenizer.ggml.token_type", 5, types).texts("tokenizer.ggml.merges", merges);
  gguf->number("tokenizer.ggml.bos_token_id", 0).number("tokenizer.ggml.eos_token_id", 1);
  gguf->flag("tokenizer.ggml.add_bos_token", true);
}

struct Bundled {
  ModelFile file = model_reader::read_model("models/stories.tm2");
  Model model;

  Bundled() {
    auto size = [&](const char* key) { return static_cast<int>(file.numbers.at(key)); };
    model.shape = {size("layers"),   size("dim"),      size("ffn_dim"), size("heads"),
                   size("kv_heads"), size("head_dim"), size("vocab"),   size("context")};
    model.tensors.clear();
    for (const auto& [name, tensor] : file.tensors) {
      if (name == "rope.inv_freq") continue;
      bool matrix = tensor.shape.size() == 2;
      model.tensors[name] = {matrix ? tensor.shape[0] : 0, tensor.shape.back(), tensor.values};
    }
  }

  sources::Gguf gguf(size_t strand, bool tokenizer = true) const {
    sources::Gguf out = gguf_of(model, "bitnet-b1.58");
    out.real("bitnet-b1.58.rope.freq_base", 10000);
    if (tokenizer) add_tokenizer(&out, file.tokenizer);
    for (sources::Gguf::Stored& stored : out.tensors) {
      if (!stored.name.starts_with("blk.") || stored.shape.size() < 2) continue;
      Values values(stored.data.size() / sizeof(float));
      std::memcpy(values.data(), stored.data.data(), stored.data.size());
      stored.type = 36;
      stored.data = i2_s(values, strand);
    }
    return out;
  }
};

std::string report_of(const Folder& folder, Options options = {}) {
  options.source = folder / "model.gguf";
  options.destination = folder / "out.tm2";
  std::ostringstream report;
  edgellm::convert::convert(options, report, false);
  CHECK(!std::filesystem::exists(folder / "out.tm2.partial"));
  return report.str();
}

TEST(the_likelier_layout_is_taken_and_named) {
  const Bundled bundled;
  for (size_t strand : {size_t{32}, size_t{16}}) {
    Folder folder;
    write_file(folder / "model.gguf", bundled.gguf(strand).bytes());
    std::string report = report_of(folder);
    CHECK(contains(report, strand == 32 ? "in the layout of x86: " : "in the layout of ARM: "));
    std::printf("%s", report.substr(0, report.find("tokenizer:")).c_str());
    ModelFile file = model_reader::read_model(folder / "out.tm2");
    for (const auto& [name, tensor] : bundled.file.tensors)
      CHECK(name == "embed" || file.tensors.at(name).values == tensor.values);
    CHECK(file.tokenizer == bundled.file.tokenizer);

    Options other;  // what the user says is not doubted
    other.i2s_layout = strand == 32 ? I2sLayout::arm : I2sLayout::x86;
    CHECK(!contains(report_of(folder, other), "layout"));
    file = model_reader::read_model(folder / "out.tm2");
    CHECK(file.tensors.at("layers.0.q").values != bundled.file.tensors.at("layers.0.q").values);
  }
}

TEST(what_reads_no_english_is_refused) {
  Bundled bundled;
  Folder folder;
  // With the ids in another order no text is likely.
  std::vector<float>& embed = bundled.model.tensors.at("embed").values;
  for (float& value : embed)
    value *= 8;
  std::rotate(embed.begin(), embed.begin() + 700 * 256, embed.end());
  write_file(folder / "model.gguf", bundled.gguf(32).bytes());
  CHECK(contains(failure(folder, folder / "model.gguf"), "neither layout of I2_S makes sense"));
  write_file(folder / "model.gguf", bundled.gguf(32, false).bytes());
  CHECK(contains(failure(folder, folder / "model.gguf"), "there is no tokenizer: give --i2s-layout"));
}

}  // namespace
