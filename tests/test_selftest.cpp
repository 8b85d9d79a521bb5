// edgellm selftest, tokenize and detokenize word for word, and where the bundled model is looked for. EDGELLM is the command that
// starts the program.
#include <cstdlib>

#include "check.h"
#include "engine/engine.h"
#include "files.h"
#include "golden.h"
#include "make_model.h"
#include "open_engine.h"
#include "platform/cpu.h"
#include "program.h"

using namespace edgellm;

namespace {

// A line for each kernel set of this CPU.
std::string kernel_lines() {
  i32 digests = 0;
  while (golden_name(digests))
    digests++;
  CHECK(digests > 30);
  std::string lines;
  for (i32 i = 0; isa_name(i); i++) {
    Kernels kernels;
    if (select_kernels(isa_name(i), cpu_features(), &kernels))
      lines += "kernels " + std::string(isa_name(i)) + ": " + std::to_string(digests) + " digests hold\n";
  }
  return lines;
}

// 24 ids, of which selftest computes the hash.
std::string model_line(const std::string& path) {
  EngineOptions options;
  options.threads = 1, options.context = 24;
  OpenEngine open(options, path);
  std::vector<i32> ids;
  for (i32 i = 0; i < 24; i++)
    ids.push_back((i * i * 7919 + 13 * i + 1) % open.engine.model.vocab);
  char hash[20];
  std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(open.run_anew(ids, 24)));
  return "model " + path + ": logits hash " + hash + " with every kernel set, in one call, in sevens and one by one\n";
}

}  // namespace

TEST(what_selftest_says) {
  const std::string kernels = kernel_lines(), path = temporary_path("some.tm2");
  write_model({}, path);
  Said said = edgellm_says("selftest " + path);
  CHECK_EQ(said.code, 0);
  CHECK_EQ(said.out, kernels + model_line(path));
  CHECK_EQ(said.err, std::string());
  const std::string home = "models/home.srnn";
  said = edgellm_says("selftest " + home + " --ctx 5000 --threads 2");
  CHECK_EQ(said.code, 0);
  CHECK_EQ(said.out, kernels + model_line(home) + "model: this is its known hash\n");
  CHECK_EQ(edgellm_says("selftest /dev/null").code, 3);
}

// Beside the program, in models/ beside it and above, in share/edgellm, and in models/ of the working folder, which comes first.
TEST(where_the_bundled_model_is) {
  const std::string program = std::getenv("EDGELLM");
  if (program.find(' ') != std::string::npos) SKIP("an emulator is what the system says is running");
  Folder folder;
  std::filesystem::create_directories(folder / "a/bin");
  std::filesystem::create_directories(folder / "work");
  std::filesystem::copy_file(program, folder / "a/bin/edgellm");
  auto found = [&](const std::string& place) {
    Said said = shell("cd " + (folder / "work") + " && ../a/bin/edgellm selftest");
    CHECK_EQ(said.code, 0);
    CHECK(contains(said.out, place.empty() ? "no bundled model found: give one to test it\n"
                                           : "\nmodel " + place + "stories.tm2: logits hash "));
    if (!contains(said.out, place)) std::fprintf(stderr, "%s", said.out.c_str());
  };
  std::filesystem::remove_all(folder / "a/bin/models");
  found("");
  Said said = shell("cd " + (folder / "work") + " && ../a/bin/edgellm bench");
  CHECK_EQ(said.code, 2);
  CHECK_EQ(said.err, std::string("edgellm: bench: no bundled model found, give a model file\n"));
  const std::string bin = std::filesystem::canonical(folder / "a/bin").string() + "/";
  struct Row {
    std::string place, shown;
  };
  // Each is looked for before those above it here.
  for (const Row& row : {Row{"a/share/edgellm/", bin + "../share/edgellm/"}, Row{"a/models/", bin + "../models/"},
                         Row{"a/bin/models/", bin + "models/"}, Row{"work/models/", "models/"}}) {
    std::filesystem::create_directories(folder / row.place);
    std::filesystem::copy_file("models/stories.tm2", folder / (row.place + "stories.tm2"));
    found(row.shown);
  }
}

TEST(tokenizing) {
  const std::string stories = "models/stories.tm2", home = "models/home.tm2";
  Folder folder;
  std::string long_text;
  for (int i = 0; i < 3000; i++)
    long_text += "There was a dog " + std::to_string(i) + ". ";
  for (const std::string& model : {stories, home}) {
    for (const std::string& text : {std::string("Once upon a time"), std::string(), std::string("a\nb \xc3\xa4<s></s>"),
                                    std::string("\xff\0x", 3), long_text}) {
      write_file(folder / "text", text);
      EngineOptions options;
      options.threads = 1, options.text_bytes = static_cast<i64>(text.size()) + 1;
      OpenEngine open(options, model);
      Span<const i32> ids;
      CHECK(encode(open.engine, {text.data(), static_cast<i64>(text.size())}, {.add_bos = true}, &ids).ok());
      std::string list;
      for (i32 id : ids)
        list += (list.empty() ? "" : ",") + std::to_string(id);
      for (const char* from : {" -f ", " - <"}) {
        Said said = edgellm_says("tokenize " + model + from + (folder / "text"));
        CHECK_EQ(said.code, 0);
        CHECK(said.out == list + "\n");
        CHECK_EQ(said.err, std::string());
      }
      if (text != long_text && ids.count > 0) {
        Said said = edgellm_says("detokenize " + model + " --ids " + list);
        CHECK_EQ(said.code, 0);
        Decoder decoder(open.engine.tokenizer);
        std::string expected;
        auto drain = [&] {
          for (Text part; (part = decoder.take()).size != 0;)
            expected.append(part.data, static_cast<size_t>(part.size));
        };
        for (i32 id : ids) {
          decoder.push(id);
          drain();
        }
        decoder.finish();
        drain();
        CHECK_EQ(said.out, expected + "\n");
      }
    }
  }
  CHECK_EQ(edgellm_says("tokenize " + stories + " --tokenizer " + home + " -i 'play music'").out,
           edgellm_says("tokenize " + home + " -i 'play music'").out);
  CHECK_EQ(edgellm_says("tokenize " + stories).out, edgellm_says("tokenize " + stories + " -i ''").out);

  // Up to the first id that the model does not have.
  const std::string hi = edgellm_says("tokenize " + home + " -i hi").out, ids = hi.substr(0, hi.size() - 1);
  EngineOptions options;
  options.threads = 1;
  OpenEngine open(options, home);
  const i32 vocab = open.engine.model.vocab;
  CHECK_EQ(edgellm_says("detokenize " + home + " --ids " + std::to_string(vocab - 1)).code, 0);
  Said said = edgellm_says("detokenize " + home + " --ids " + ids + "," + std::to_string(vocab) + "," + ids + "," +
                           std::to_string(vocab + 7));
  CHECK_EQ(said.code, 1);
  CHECK_EQ(said.out, edgellm_says("detokenize " + home + " --ids " + ids).out);
  CHECK(contains(said.out, "hi"));
  CHECK_EQ(said.err,
           "edgellm: --ids: " + std::to_string(vocab) + " is not in the vocabulary of " + std::to_string(vocab) + " ids\n");
  CHECK_EQ(edgellm_says("detokenize " + home + " --ids=").out, std::string("\n"));

  const std::string bare = temporary_path("bare.tm2");
  write_model({}, bare);
  for (const char* words : {"tokenize ", "detokenize "}) {
    said = edgellm_says(words + bare + (words[0] == 'd' ? " --ids 1" : " -i a"));
    CHECK_EQ(said.code, 3);
    CHECK_EQ(
        said.err,
        "edgellm: " + bare +
            ": the model has no tokenizer: it takes and gives ids; --tokenizer FILE takes that of another model file\n");
    CHECK_EQ(said.out, std::string());
  }
  said = edgellm_says("run " + bare + " --tokenizer " + bare + " -i a");
  CHECK_EQ(said.code, 3);
  CHECK_EQ(said.err, "edgellm: --tokenizer " + bare + ": the model has no tokenizer: it takes and gives ids\n");
  said = edgellm_says("run " + bare + " --tokenizer README.md -i a");
  CHECK_EQ(said.code, 3);
  CHECK(contains(said.err, "--tokenizer README.md is a text, not a model file: ") &&
        contains(said.err, "`edgellm-convert SOURCE NEW.tm2 --tokenizer README.md`, from what the model was made of"));
}

// Standard input has room for 16 MiB, and not for a byte more.
TEST(the_most_of_standard_input) {
  Folder folder;
  write_file(folder / "most", std::string(16 << 20, ' '));
  write_file(folder / "more", std::string((16 << 20) + 1, ' '));
  Said said = edgellm_says("/dev/null -", folder / "most");
  CHECK_EQ(said.code, 3);  // no model, which is looked at after the text
  said = edgellm_says("/dev/null -", folder / "more");
  CHECK_EQ(said.code, 1);
  CHECK_EQ(said.err, std::string("edgellm: standard input has more than 16777216 bytes; give a file with -f\n"));
}
