// edgellm info MODEL: what is in a file, and what the engine would make of it here.
#include "cli/line_text.h"
#include "cli/model_facts.h"
#include "engine/conversation.h"
#include "file/family.h"

namespace edgellm {

namespace {

f64 bits(const Sum& sum) {
  return 8 * share(sum.bytes, sum.weights);
}

f64 percent_zeros(const Facts& facts) {
  return 100 * share(facts.zeros_counted, facts.integers.weights);
}

// A number of the file, or 0.
i32 number_of(const Facts& facts, Text key) {
  i32 value;
  return facts.file.number_or(key, 0, 0, INT32_MAX, &value).ok() ? value : 0;
}

Text text_of(const Facts& facts, Text key, Text otherwise) {
  Text value;
  return facts.file.text_or(key, otherwise, &value).ok() ? value : otherwise;
}

// A file may come from anywhere: what it calls itself, without what a terminal would obey.
void print_harmless(Text text) {
  for (i64 at = 0; at < text.size; at += glyph_at(text, at).bytes)
    print(text[at] == '\n' ? " " : glyph_at(text, at).shown);
}

const char* tokenizer_words(const Engine& engine) {
  constexpr const char* KINDS[] = {"none: it takes and gives ids", "byte-level BPE", "SentencePiece BPE",
                                   "the longest piece that fits, as RWKV's"};
  return KINDS[engine.has_tokenizer ? static_cast<u32>(engine.tokenizer.kind()) : 0];
}

// All that is needed, with what a version 1 file becomes.
i64 memory_bytes(const Facts& facts, i64 arena_bytes) {
  return facts.file_bytes + facts.image.count + arena_bytes;
}

bool grows(const Facts& facts) {
  return !facts.engine.model.unbounded();
}

void print_family(const Facts& facts) {
  Family family;
  print("family         ");
  if (!read_family(facts.file, &family).ok()) {
    print("unknown to this version: \"");
    print_harmless(text_of(facts, "arch", ""));
    print("\"\n");
    return;
  }
  print(family.words);
  if (Text(family.name) == "stack") print(" (", family.blocks, ")");
  if (facts.refused.ok()) print(grows(facts) ? "" : ", recurrent");
  print("; ", number_of(facts, "layers"), " layers, ", number_of(facts, "dim"), " wide\n");
}

void print_size(const Facts& facts) {
  const f64 weights = static_cast<f64>(facts.all.weights);
  print("parameters     ");
  if (facts.all.weights >= 1'000'000'000) {
    print(Fixed{weights / 1e9, 2}, " billion\n");
  } else if (facts.all.weights >= 1'000'000) {
    print(Fixed{weights / 1e6, 2}, " million\n");
  } else {
    print(facts.all.weights, "\n");
  }
  print("file           ", megabytes(facts.file_bytes, 2), " MB", facts.checked ? ", its checksum is right" : "");
  print(facts.image.count ? ", of version 1: repacked at each start (edgellm-convert makes one that need not be)\n" : "\n");
  print("weights        ", Fixed{bits(facts.all), 2}, " bits each; ");
  const char* between = "";
  for (i32 i = 0; i < FORMATS; i++) {
    const Sum& sum = facts.formats[i];
    if (sum.tensors == 0) continue;
    print(between, sum.tensors, sum.tensors == 1 ? " tensor is " : " tensors are ", format_name(static_cast<Format>(i)));
    between = ", ";
  }
  print("\nzeros          ");
  if (!facts.zeros.data) {
    print("not counted, as it takes a while: --tensors counts them\n");
  } else if (facts.integers.weights == 0) {
    print("not counted in weights that are no integers\n");
  } else {
    print(Fixed{percent_zeros(facts), 1}, " % of the integer weights\n");
  }
}

void print_context(const Facts& facts) {
  const Engine& engine = facts.engine;
  const i32 trained = engine.model.context;
  if (!grows(facts)) {
    print("context        without an end; trained on ", trained, " positions\n");
    return;
  }
  print("context        ", trained, " positions");
  if (engine.limits.context != trained)
    print(", of which a run holds ", engine.limits.context, " unless --ctx says otherwise");
  print("\n");
}

void print_memory(const Facts& facts) {
  const Engine& engine = facts.engine;
  print("memory needed  ", megabytes(memory_bytes(facts, engine.arena_bytes), 2), " MB");
  if (!grows(facts)) {
    print(", however long the text is\n");
    return;
  }
  print(" for ", engine.limits.context, " positions");
  if (facts.arena_bytes_small && engine.limits.context != SMALL_CONTEXT) {
    print(", ", megabytes(memory_bytes(facts, facts.arena_bytes_small), 2), " MB with --ctx ", SMALL_CONTEXT);
  }
  print("; the file is in it\n");
}

// What is said to it and what it says.
void print_text_side(const Facts& facts) {
  const Engine& engine = facts.engine;
  print("vocabulary     ", engine.model.vocab, " ids\ntokenizer      ", tokenizer_words(engine), "\n");
  ChatTemplate chat;
  bool found = false;
  if (!read_chat_template(facts.file, &chat, &found).ok()) found = false;
  print("chat           ");
  if (found) {
    print("template ", chat.name, chat.system.size ? "" : ", without a place for a system text", "\n");
  } else {
    print(engine.grammar.states() ? "no template: each line is a request of its own\n"
                                  : "no template: a conversation is written as plain text\n");
  }
  print("grammar        ");
  if (engine.grammar.states()) {
    print("answers can only be what it allows (", engine.grammar.states(), " states)\n");
  } else {
    print("none: any text\n");
  }
  f32 temperature;
  if (facts.file.has("temperature") && facts.file.real("temperature", 0, MAX_TEMPERATURE, &temperature).ok()) {
    print("temperature    ", Fixed{temperature, 2}, temperature > 0 ? "" : " (greedy)", " unless -t says otherwise\n");
  }
}

void print_summary(const Facts& facts) {
  print("name           ");
  print_harmless(text_of(facts, "name", facts.path));
  print("\n");
  print_family(facts);
  print_size(facts);
  if (!facts.refused.ok()) {
    print("cannot run     ", facts.refused.text(), "\n");
    return;
  }
  print_context(facts);
  print_memory(facts);
  print_text_side(facts);
}

bool is_text(const Metadata& entry) {
  return entry.type == MetadataType::text;
}

Text text_of(const Metadata& entry) {
  return {reinterpret_cast<const char*>(entry.value), entry.bytes};
}

// Calls add(number) for each.
template <class Add>
void each_number(const Metadata& entry, const Add& add) {
  const bool whole = entry.type == MetadataType::u32_ || entry.type == MetadataType::u32_list;
  for (u32 i = 0; i < entry.bytes / 4; i++) {
    const f64 number = whole ? reinterpret_cast<const u32*>(entry.value)[i]
                             : static_cast<f64>(reinterpret_cast<const f32*>(entry.value)[i]);
    add(Fixed{number, whole ? 0 : 9});
  }
}

void print_value(Output& out, const Metadata& entry) {
  constexpr u32 SHOWN = 64;
  if (is_text(entry)) {
    out.add(text_of(entry));
  } else if (entry.bytes / 4 > SHOWN) {
    out.add(entry.bytes / 4);
    out.add(" numbers");
  } else {
    const char* between = "";
    each_number(entry, [&](Fixed number) {
      out.add(between);
      out.add(number);
      between = ", ";
    });
  }
}

void print_metadata(Output& out, const ModelFile& file) {
  i64 offset = 0;
  for (Metadata entry; next_metadata(file.metadata(), &offset, &entry);) {
    out.add(entry.key);
    for (i64 i = entry.key.size; i < 24; i++)
      out.add(" ");
    print_value(out, entry);
    out.add("\n");
  }
  out.add("tokenizer               ");
  out.add(file.tokenizer().count);
  out.add(" bytes\n\n");
}

constexpr const char* SCALES[] = {"", "tensor", "row"};
constexpr const char* ACTIVATIONS[] = {"", "token", "group32"};

// A line; `zeros` as zeros_of says.
void print_tensor(Output& out, const TensorEntry& entry, i64 zeros) {
  constexpr const char* SCALE_WORDS[] = {"", " tensor scale", " row scales"};
  Text name(entry.name);
  out.add(name);
  for (i64 i = name.size; i < 28; i++)
    out.add(" ");
  for (i32 i = 0; i < entry.rank; i++) {
    if (i) out.add(" x ");
    out.add(entry.shape[i]);
  }
  out.add("  ");
  out.add(format_name(static_cast<Format>(entry.format)));
  out.add(SCALE_WORDS[entry.scale]);
  if (entry.activations) out.add(" ");
  out.add(ACTIVATIONS[entry.activations]);
  out.add("  ");
  out.add(Fixed{8.0 * share(tensor_bytes(entry), weights_of(entry)), 2});
  out.add(" bits");
  if (zeros >= 0) {
    out.add("  ");
    out.add(Fixed{100 * share(zeros, weights_of(entry)), 1});
    out.add(" % zeros");
  }
  out.add("\n");
}

// The metadata, then a line for each tensor, then the sums.
void print_tensors(const Facts& facts) {
  Output out(STDOUT);
  out.add("\n");
  print_metadata(out, facts.file);
  for (i64 i = 0; i < facts.zeros.count; i++)
    print_tensor(out, facts.file.tensors()[i], facts.zeros[i]);
  out.flush();
  print("\n", facts.all.tensors, " tensors, ", Fixed{static_cast<f64>(facts.all.weights) / 1e6, 2}, " M weights, ",
        megabytes(facts.all.bytes, 2), " MB, ", Fixed{bits(facts.all), 2}, " bits a weight");
  if (facts.integers.weights) print(", ", Fixed{percent_zeros(facts), 1}, " % zeros in the matrices of integers");
  if (facts.dense_bytes != facts.all.bytes) print("; dense in i8: ", megabytes(facts.dense_bytes, 2), " MB");
  print("\n");
}

void json_metadata(JsonWriter& json, const ModelFile& file) {
  i64 offset = 0;
  json.open("metadata");
  for (Metadata entry; next_metadata(file.metadata(), &offset, &entry);) {
    const bool list = entry.type == MetadataType::u32_list || entry.type == MetadataType::f32_list;
    if (is_text(entry)) {
      json.text(entry.key, text_of(entry));
      continue;
    }
    if (list) json.open_list(entry.key);
    each_number(entry, [&](Fixed number) { json.real(list ? Text() : entry.key, number); });
    if (list) json.close_list();
  }
  json.close();
}

void json_tensor(JsonWriter& json, const TensorEntry& entry, i64 zeros) {
  json.open({});
  json.text("name", entry.name);
  json.open_list("shape");
  for (i32 i = 0; i < entry.rank; i++)
    json.number({}, entry.shape[i]);
  json.close_list();
  json.text("format", format_name(static_cast<Format>(entry.format)));
  if (entry.scale) json.text("scale", SCALES[entry.scale]);
  if (entry.activations) json.text("activations", ACTIVATIONS[entry.activations]);
  json.number("bytes", tensor_bytes(entry));
  json.real("bits", {8.0 * share(tensor_bytes(entry), weights_of(entry)), 2});
  if (zeros >= 0) json.number("zeros", zeros);
  json.close();
}

// What the engine would make of it.
void json_plan(JsonWriter& json, const Facts& facts) {
  const Engine& engine = facts.engine;
  if (!facts.refused.ok()) {
    json.text("cannot_run", facts.refused.text());
    return;
  }
  json.flag("recurrent", !grows(facts));
  json.number("context", engine.model.context);
  json.number("default_context", engine.limits.context);
  json.number("memory_bytes", memory_bytes(facts, engine.arena_bytes));
  if (facts.arena_bytes_small) json.number("memory_bytes_512", memory_bytes(facts, facts.arena_bytes_small));
  json.number("vocab", engine.model.vocab);
  json.text("tokenizer", tokenizer_words(engine));
  json.number("grammar_states", engine.grammar.states());
}

void json_sums(JsonWriter& json, const Facts& facts) {
  json.number("file_bytes", facts.file_bytes);
  if (facts.checked) json.flag("checksum_right", true);
  json.number("tokenizer_bytes", facts.file.tokenizer().count);
  json.number("tensors", facts.all.tensors);
  json.number("weights", facts.all.weights);
  json.number("weight_bytes", facts.all.bytes);
  json.number("dense_weight_bytes", facts.dense_bytes);
  json.real("bits", {bits(facts.all), 2});
  json.real("zeros", {share(facts.zeros_counted, facts.integers.weights), 4});
  json.open("formats");
  for (i32 i = 0; i < FORMATS; i++) {
    const Sum& sum = facts.formats[i];
    if (sum.tensors == 0) continue;
    json.open(format_name(static_cast<Format>(i)));
    json.number("tensors", sum.tensors);
    json.number("weights", sum.weights);
    json.number("bytes", sum.bytes);
    json.close();
  }
  json.close();
}

void print_json(const Facts& facts) {
  JsonOutput json(STDOUT);
  Family family;
  json.text("model", facts.path);
  json.text("name", text_of(facts, "name", facts.path));
  if (read_family(facts.file, &family).ok()) json.text("family", family.words);
  json_metadata(json, facts.file);
  json_sums(json, facts);
  json.open("sparsity");
  const Span<const TensorEntry> tensors = facts.file.tensors();
  for (i64 i = 0; i < tensors.count; i++)
    if (facts.zeros[i] >= 0) json.real(Text(tensors[i].name), {share(facts.zeros[i], weights_of(tensors[i])), 4});
  json.close();
  json_plan(json, facts);
  json.text("isa", facts.kernels.isa);
  json_kernel_sets(json);
  json.open_list("table");
  for (i64 i = 0; i < tensors.count; i++)
    json_tensor(json, tensors[i], facts.zeros[i]);
  json.close_list();
  json.finish();
}

}  // namespace

Status info_model(Options& options) {
  static Facts facts;
  EDGELLM_TRY(open_facts(options, &facts));
  if (options.json) {
    print_json(facts);
    return {};
  }
  print_summary(facts);
  if (options.tensors) print_tensors(facts);
  return {};
}

}  // namespace edgellm
