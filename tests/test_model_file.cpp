// Hostile model files: whatever the bytes, an error that says something or a run without harm.
#include <cstring>

#include "arch/model.h"
#include "base/checksum.h"
#include "base/random.h"
#include "check.h"
#include "engine/grammar.h"
#include "files.h"
#include "make_model.h"
#include "platform/cpu.h"
#include "raw_model_file.h"
#include "sparse.h"

using namespace edgellm;

namespace {

ModelRecipe small(Format format) {
  ModelRecipe recipe;
  recipe.matrices = format;
  if (sparse(format)) {
    recipe.scale = Scale::row;
    recipe.zeros = 70;
  }
  recipe.layers = 1;
  recipe.dim = 16;
  recipe.ffn_dim = 20;
  recipe.heads = 2;
  recipe.kv_heads = 1;
  recipe.head_dim = 8;
  recipe.vocab = 17;
  recipe.context = 8;
  recipe.grammar = {2, 1, 3, 4, 1, 0, 0, 5, 1};
  return recipe;
}

std::vector<u8> small_file(Format format = Format::T2) {
  std::string path = temporary_path("small.tm2");
  write_model(small(format), path);
  return read_array<u8>(path);
}

constexpr Format FORMATS[] = {Format::T2, Format::I8_MASK, Format::I8_GROUP};

// Opens the bytes and, if they are accepted, runs a few tokens; says whether they were accepted. What the engine does to open
// a file, without asking the machine about itself each time.
Status open_and_run(Span<const u8> bytes) {
  ModelFile file;
  EDGELLM_TRY(file.open(bytes));
  const Limits limits = {.context = 8, .tokens = 4, .logits = 1};
  Model model;
  Arena counting;
  EDGELLM_TRY(load_model(file, limits, counting, &model));
  if (counting.used() > 64 << 20) return failed("too large for this test");
  Grammar grammar;
  EDGELLM_TRY(grammar.open(file, model.vocab));
  Aligned memory(std::vector<u8>(static_cast<size_t>(counting.used() + model.state_bytes)));
  Arena arena(memory.span.data, memory.span.count);
  u8* state = arena.take<u8>(model.state_bytes);
  EDGELLM_TRY(load_model(file, limits, arena, &model));
  Kernels kernels;
  CHECK(select_kernels(nullptr, cpu_features(), &kernels));
  static Threads threads;
  i32 ids[] = {0, 1, 2};
  Item item = {state, 0, ids, min(3, model.vocab), Wanted::last};
  (void)run_model(model, kernels, threads, {&item, 1});
  return {};
}

bool try_bytes(const std::vector<u8>& bytes) {
  Aligned file(bytes);
  Status status = open_and_run(file.span);
  CHECK(status.ok() || std::strlen(status.text()) > 10);
  return status.ok();
}

void repair_checksum(std::vector<u8>& bytes) {
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  u64 size = bytes.size();
  bool inside = header.metadata_offset + u64{header.metadata_bytes} <= size &&
                header.tensor_offset + header.tensor_count * sizeof(TensorEntry) <= size;
  if (!inside) return;
  Checksum table;
  table.update(bytes.data(), offsetof(FileHeader, table_checksum));
  table.update(bytes.data() + header.metadata_offset, header.metadata_bytes);
  table.update(bytes.data() + header.tensor_offset, static_cast<i64>(header.tensor_count * sizeof(TensorEntry)));
  header.table_checksum = table.value();
  std::memcpy(bytes.data(), &header, sizeof header);
}

size_t tables_end(const std::vector<u8>& bytes) {
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header.tensor_offset + header.tensor_count * sizeof(TensorEntry);
}

}  // namespace

TEST(the_untouched_file_runs) {
  for (Format format : FORMATS)
    CHECK(try_bytes(small_file(format)));
}

TEST(every_truncation_is_refused) {
  for (Format format : FORMATS) {
    std::vector<u8> bytes = small_file(format);
    for (size_t size = 0; size < bytes.size(); size += size < tables_end(bytes) ? 1 : 61) {
      Aligned cut({bytes.begin(), bytes.begin() + static_cast<i64>(size)});
      ModelFile file;
      Status status = file.open(cut.span);
      CHECK(!status.ok());
      CHECK(std::strlen(status.text()) > 10);
    }
  }
}

TEST(every_changed_byte_of_the_tables_is_refused) {
  std::vector<u8> bytes = small_file();
  for (size_t i = 0; i < tables_end(bytes); i++) {
    if (i >= offsetof(FileHeader, data_checksum) && i < sizeof(FileHeader)) continue;  // --check compares that one
    for (i32 flip : {0x01, 0x80, 0xff}) {
      std::vector<u8> changed = bytes;
      changed[i] = static_cast<u8>(changed[i] ^ flip);
      FileHeader header;
      std::memcpy(&header, changed.data(), sizeof header);
      bool padding = i >= header.metadata_offset + u64{header.metadata_bytes} && i < header.tensor_offset;
      Aligned copy(changed);
      ModelFile file;
      CHECK(padding || !file.open(copy.span).ok());
    }
  }
}

// The same with a checksum that was made to fit: every field has to hold its own.
TEST(every_changed_byte_with_a_fitting_checksum_is_refused_or_harmless) {
  for (Format format : FORMATS) {
    std::vector<u8> bytes = small_file(format);
    i32 refused = 0;
    for (size_t i = 0; i < tables_end(bytes); i++) {
      for (i32 flip : {0x01, 0x10, 0x80, 0xff}) {
        std::vector<u8> changed = bytes;
        changed[i] = static_cast<u8>(changed[i] ^ flip);
        repair_checksum(changed);
        refused += !try_bytes(changed);
      }
    }
    CHECK(refused > 1000);
  }
}

// body(entry, its data) for the sparse tensors of a file.
template <class Body>
static void for_sparse(std::vector<u8>& bytes, Body body) {
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  CHECK_EQ(header.magic, MAGIC_SRN);
  for (u32 i = 0; i < header.tensor_count; i++) {
    TensorEntry entry;
    std::memcpy(&entry, bytes.data() + header.tensor_offset + i * sizeof entry, sizeof entry);
    if (sparse(static_cast<Format>(entry.format))) body(entry, bytes.data() + entry.offset);
  }
}

TEST(any_masks_and_weights_run) {
  u64 index = 0;
  for (Format format : {Format::I8_MASK, Format::I8_GROUP}) {
    for (i32 fill : {0x00, 0x7f, 0x80, 0xff, -1, -1, -1}) {
      std::vector<u8> bytes = small_file(format);
      for_sparse(bytes, [&](const TensorEntry& entry, u8* data) {
        for (u64 i = static_cast<u64>(sparse_table_bytes(entry.shape[0])); i < entry.bytes; i++)
          data[i] = static_cast<u8>(fill < 0 ? random_bits(1, index++) : static_cast<u64>(fill));
      });
      CHECK(try_bytes(bytes));
    }
  }
}

TEST(places_of_panels_that_do_not_ascend_are_refused) {
  i32 refused = 0, tried = 0;
  for (u32 change : {1u, 0x80u, 0xffffffffu, 0x80000000u}) {
    std::vector<u8> whole = small_file(Format::I8_MASK);
    for_sparse(whole, [&](const TensorEntry& entry, u8*) {
      for (u32 place = 0; place <= (entry.shape[0] + PANEL - 1) / PANEL; place++) {
        std::vector<u8> bytes = whole;
        bytes[entry.offset + place * 4] ^= static_cast<u8>(change);
        bytes[entry.offset + place * 4 + 3] ^= static_cast<u8>(change >> 24);
        tried++;
        refused += !try_bytes(bytes);
      }
    });
  }
  CHECK(refused > tried / 2 && refused < tried);  // a panel in the middle may begin elsewhere: other numbers
}

TEST(any_weights_run) {
  for (i32 fill : {0x00, 0x7f, 0x80, 0xff}) {
    std::vector<u8> bytes = small_file();
    for (size_t i = tables_end(bytes); i < bytes.size(); i++)
      bytes[i] = static_cast<u8>(fill);
    CHECK(try_bytes(bytes));
  }
}

// What the file says with these keys: empty if it runs.
static std::string refusal(const convert::Metadata& more) {
  ModelRecipe recipe = small(Format::T2);
  recipe.layers = 3;
  recipe.more = more;
  std::string path = temporary_path("keys.tm2");
  write_model(recipe, path);
  Aligned file(read_array<u8>(path));
  Status status = open_and_run(file.span);
  CHECK(status.ok() || status.code() == Code::bad_model);
  return status.text();
}

static bool names(const std::string& text, const char* key, const char* what) {
  return text.find(std::string("\"") + key + "\"") != std::string::npos && text.find(what) != std::string::npos;
}

TEST(a_number_or_a_list_with_one_for_each_layer) {
  using List = std::vector<u32>;
  CHECK_EQ(refusal({{"window", 2u}}), "");
  CHECK_EQ(refusal({{"window", List{0, 2, 1u << 24}}}), "");
  for (const List& wrong : {List{}, List{2}, List{2, 2}, List{2, 2, 2, 2}})
    CHECK(names(refusal({{"window", wrong}}), "window", "3 layers"));
  for (const List& wrong : {List{(1u << 24) + 1, 0, 0}, List{0, 0, 0xffffffff}})
    CHECK(names(refusal({{"window", wrong}}), "window", "expected 0 to 16777216"));
  CHECK(names(refusal({{"window", 0x80000000}}), "window", "expected 0 to 16777216"));
  CHECK(names(refusal({{"window", 2.0f}}), "window", "is not a whole number"));
  CHECK(names(refusal({{"window", std::vector<f32>{2, 2, 2}}}), "window", "is not a whole number"));
  CHECK(names(refusal({{"window", std::string("2")}}), "window", "is not a whole number"));
}

TEST(blocks_are_words_between_bars) {
  auto stack = [](const std::string& blocks) { return refusal({{"arch", std::string("stack")}, {"blocks", blocks}}); };
  for (const char* good : {"attention ffn", "  attention  ffn ", "attention ffn | ffn", "ffn | attention|ffn",
                           "attention + ffn", "attention ffn | ffn | ffn | mamba"})
    CHECK_EQ(stack(good), "");
  const struct {
    std::string blocks;
    const char* what;
  } refused[] = {{"", "without blocks"},
                 {"attention ffn |", "without blocks"},
                 {"| ffn", "without blocks"},
                 {"ffn || ffn", "without blocks"},
                 {"attention fnn", "unknown word \"fnn\", known: attention, ffn"},
                 {"attention+ffn", "unknown word \"attention+ffn\""},
                 {"Attention", "unknown word \"Attention\""},
                 {"ffn attention ffn", "ffn twice in one layer"},
                 {"attention +", "a + without a block after it"},
                 {"attention + + ffn", "a + without a block after it"},
                 {"+ ffn", "a + before ffn, but it can join two blocks only"},
                 {"attention + mamba + ffn", "a + before ffn, but it can join two blocks only"},
                 {"a b c d e f g h i", "more than 8 blocks"},
                 {std::string(65537, ' '), "65537 bytes, expected at most 65536"}};
  for (const auto& one : refused)
    CHECK(names(stack(one.blocks), "blocks", one.what));
  CHECK(contains(stack("mamba"), "\"inner\" is missing"));  // the keys of a block that this file has not
  CHECK(names(refusal({{"arch", std::string("stack")}}), "blocks", "is missing"));
  CHECK(names(refusal({{"arch", std::string("stack")}, {"blocks", 1u}}), "blocks", "is not a text"));
  CHECK(names(refusal({{"blocks", std::string("attention ffn")}}), "blocks", "this is transformer"));
  CHECK(names(refusal({{"arch", std::string("tower")}}), "tower", "known: transformer, "));
}

TEST(a_layer_names_its_table_of_frequencies) {
  const convert::Metadata stack = {{"arch", std::string("stack")}, {"blocks", std::string("attention ffn")}};
  auto with = [&](const char* key, convert::MetadataValue value) {
    convert::Metadata more = stack;
    more.emplace_back(key, std::move(value));
    return refusal(more);
  };
  CHECK_EQ(with("rope_table", 15u), "");
  CHECK_EQ(with("rope_table", std::vector<u32>{0, 1, 2}), "");
  CHECK_EQ(with("attention.rope_table", 3u), "");
  CHECK(names(with("rope_table", 16u), "rope_table", "expected 0 to 15"));
  CHECK(names(with("rope_table", std::vector<u32>{0, 1}), "rope_table", "3 layers"));
  CHECK(names(with("attention.rope_table", 16u), "attention.rope_table", "expected 0 to 15"));
  CHECK(names(refusal({{"rope_table", 0u}}), "rope_table", "this is transformer"));
}

TEST(a_block_may_have_numbers_of_its_own) {
  CHECK_EQ(refusal({{"attention.heads", 2u}, {"heads", 5u}}), "");  // 2 of them, as the tensors say
  CHECK(contains(refusal({{"attention.heads", 4u}}), "expected a vector of 32"));
  CHECK_EQ(refusal({{"ffn.heads", 3u}}), "");
}

TEST(metadata_have_a_limit) {
  convert::Metadata more;
  for (u32 i = 0; i < 4096; i++)
    more.emplace_back("key " + std::to_string(i), i);
  CHECK(contains(refusal(more), "more than 4096 entries"));
  more.resize(4000);
  CHECK_EQ(refusal(more), "");
}

TEST(check_reads_the_whole_file) {
  std::vector<u8> bytes = small_file();
  Aligned good(bytes);
  ModelFile file;
  CHECK(file.open(good.span).ok());
  CHECK(file.check_data().ok());
  bytes.back() = static_cast<u8>(bytes.back() ^ 1);
  Aligned bad(bytes);
  CHECK(file.open(bad.span).ok());
  CHECK(!file.check_data().ok());
}
