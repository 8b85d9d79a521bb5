#include "file/foreign.h"

#include <string.h>

#include "file/layout.h"
#include "file/limits.h"

namespace edgellm {

namespace {

constexpr const char* CONVERT = "edgellm-convert makes a model file of it";
constexpr const char* FOLDER = "edgellm-convert takes the folder that it belongs to, with config.json";

constexpr Foreign MODEL = {WayOut::open, nullptr, nullptr};
constexpr Foreign STATE = {WayOut::advice, "a saved state", "edgellm MODEL --state-load FILE goes on from it"};
constexpr Foreign PROGRAM = {WayOut::advice, "a program", ABOUT_MODELS};
constexpr Foreign GGML = {WayOut::advice, "a GGML file, which came before GGUF",
                          "edgellm-convert takes the model that it was made from, or a GGUF file of it"};
constexpr Foreign RWKV_CPP = {WayOut::advice, "a file of rwkv.cpp", "edgellm-convert takes the .pth that it was made from"};

struct Signature {
  Text bytes;
  Foreign meaning;
};

// Of one that is the beginning of another the longer comes first.
constexpr Signature SIGNATURES[] = {
    {{"TM2\2", 4}, MODEL},
    {{"SRN\2", 4}, MODEL},
    {{"TM2\0", 4}, {WayOut::repack, "a TM2 version 1 file", CONVERT}},
    {"GGUF", {WayOut::convert, "a GGUF file", CONVERT}},
    {"TMAC", {WayOut::convert, "a TMAC file", CONVERT}},
    {"24ka", {WayOut::convert, "a llama2.c checkpoint", CONVERT}},
    {"version https://git-lfs", {WayOut::pull, "a Git-LFS pointer, not the file itself", "`git lfs pull` fetches that"}},
    {"ESS1", STATE},
    {"ESS2", STATE},
    {{"fmgg\x64\0\0\0", 8}, RWKV_CPP},
    {{"fmgg\x65\0\0\0", 8}, RWKV_CPP},
    {"lmgg", GGML},
    {"fmgg", GGML},
    {"tjgg", GGML},
    {"algg", GGML},
    {{"\x80\2\x8a\x0a\x6c\xfc\x9c\x46", 8},
     {WayOut::advice, "a torch file of before version 1.6",
      "torch.load and torch.save of a newer torch make one to convert"}},
    {"\x1f\x8b", {WayOut::unpack, "a gzip archive", "gunzip"}},
    {"BZh", {WayOut::unpack, "a bzip2 archive", "bunzip2"}},
    {{"\xfd\x37zXZ\0", 6}, {WayOut::unpack, "an xz archive", "unxz"}},
    {"\x28\xb5\x2f\xfd", {WayOut::unpack, "a zstd archive", "unzstd"}},
    {"7z\xbc\xaf", {WayOut::unpack, "a 7z archive", "7z x"}},
    {"\x7f\x45LF", PROGRAM},
    {"\xcf\xfa\xed\xfe", PROGRAM},
    {"MZ\x90", PROGRAM},
    {"#!", PROGRAM},
};

bool starts_with(Text text, Text start) {
  return text.size >= start.size && text.slice(0, start.size) == start;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// `start` is in small letters.
bool starts_in_any_case(Text text, Text start) {
  if (text.size < start.size) return false;
  for (i64 i = 0; i < start.size; i++) {
    if (lower(text[i]) != start[i]) return false;
  }
  return true;
}

// Nothing that no text has, in its first bytes.
bool is_text(Text text) {
  for (i64 i = 0; i < min<i64>(text.size, 512); i++) {
    const u8 c = static_cast<u8>(text[i]);
    if (c == 0x7f || (c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f')) return false;
  }
  return true;
}

Foreign of_text(Text text) {
  if (starts_with(text, "\xef\xbb\xbf")) text = text.from(3);
  while (text.size && (text[0] == ' ' || text[0] == '\t' || text[0] == '\r' || text[0] == '\n'))
    text = text.from(1);
  static constexpr Text PAGES[] = {"<!doctype", "<html", "<head", "<?xml"};
  for (Text mark : PAGES) {
    if (starts_in_any_case(text, mark)) {
      return {WayOut::download, "a page of the web",
              "the link led to words about the file, not to it: download the file itself"};
    }
  }
  if (starts_with(text, "{")) return {WayOut::folder, "a JSON file", FOLDER};
  return {
      WayOut::advice, "a text",
      "edgellm MODEL -f FILE goes on from it; "
      "a model file is what edgellm-convert makes of a GGUF file, a Hugging Face folder or others (edgellm-convert --help)"};
}

template <class T>
T number_at(Text head, i64 offset) {
  T number = 0;
  if (head.size >= offset + static_cast<i64>(sizeof number)) memcpy(&number, head.data + offset, sizeof number);
  return number;
}

// The tensors have the names of RWKV's author: edgellm-convert needs no config.json to know what they mean.
Foreign of_tensors(Text head, const char* file, const char* file_of_rwkv) {
  if (holds(head, "blocks.0.ln0.weight")) return {WayOut::convert, file_of_rwkv, CONVERT};
  return {WayOut::folder, file, FOLDER};
}

bool is_safetensors(Text head) {
  constexpr u64 MAX_HEADER = 100 << 20;  // of the reference implementation
  const u64 bytes = number_at<u64>(head, 0);
  return bytes >= 2 && bytes <= MAX_HEADER && head.size > 9 && head[8] == '{' && (head[9] == '"' || head[9] == '}');
}

// A checkpoint of llama2.c without a signature: its seven numbers, as the converter takes them.
bool is_llama2c(Text head) {
  if (head.size < 28) return false;
  struct {
    i32 dim, hidden_dim, layers, heads, kv_heads, vocab, context;  // a negative vocab: with a head of its own
  } s;
  memcpy(&s, head.data, sizeof s);
  auto size = [](i32 value) { return value >= 1 && value <= MAX_CONTEXT; };
  return size(s.dim) && size(s.hidden_dim) && size(s.layers) && size(s.heads) && size(s.kv_heads) && size(s.context) &&
         s.layers <= MAX_LAYERS && s.heads <= s.dim && s.dim % s.heads == 0 && s.heads % s.kv_heads == 0 && s.vocab != 0 &&
         s.vocab >= -MAX_VOCAB && s.vocab <= MAX_VOCAB;
}

}  // namespace

bool holds(Text text, Text part) {
  for (i64 at = 0; at + part.size <= text.size; at++) {
    if (text[at] == part[0] && starts_with(text.from(at), part)) return true;
  }
  return false;
}

Foreign identify(Span<const u8> bytes, i64 file_bytes) {
  const Text head = {reinterpret_cast<const char*>(bytes.data), min(bytes.count, FOREIGN_BYTES)};
  if (file_bytes == 0) return {WayOut::advice, "an empty file", "what made or fetched it did not finish; do that again"};
  for (const Signature& signature : SIGNATURES) {
    if (starts_with(head, signature.bytes)) return signature.meaning;
  }
  if (starts_with(head, "PK\3\4")) {
    if (holds(head, "data.pkl")) return of_tensors(head, "a torch file", "a torch file of RWKV");
    return {WayOut::unpack, "a zip archive", "unzip"};
  }
  if (head.size >= 262 && head.slice(257, 5) == "ustar") return {WayOut::unpack, "a tar archive", "tar xf"};
  if (is_safetensors(head)) return of_tensors(head, "a safetensors file", "a safetensors file of RWKV");
  if (is_text(head)) return of_text(head);
  if (is_llama2c(head)) return {WayOut::convert, "a llama2.c checkpoint", CONVERT};
  return {};
}

}  // namespace edgellm
