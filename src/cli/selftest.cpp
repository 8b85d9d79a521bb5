// edgellm selftest: proof on this very machine. Every kernel of every set that the CPU has gives the committed digests, and the
// model gives the same logits with each set, each thread count, and the prompt in one call or token by token. The hash of a
// bundled model is known (cli/models.def) and must come out.
#include "cli/command.h"
#include "golden.h"
#include "platform/cpu.h"
#include "platform/signals.h"

namespace edgellm {

namespace {

struct KnownModel {
  u64 data_checksum;  // of the file, as its header says
  u64 hash;           // of the logits
};

const KnownModel KNOWN_MODELS[] = {
#define MODEL(name, data_checksum, hash) {data_checksum, hash},
#include "cli/models.def"
#undef MODEL
    {0, 0},
};

Status check_kernels() {
  Span<u8> block;
  EDGELLM_TRY(take_memory(GOLDEN_BYTES, {}, &block));
  for (i32 isa = 0; isa_name(isa); isa++) {
    Kernels kernels;
    if (!select_kernels(isa_name(isa), cpu_features(), &kernels)) continue;
    i32 count = 0;
    for (; golden_name(count); count++) {
      EDGELLM_TRY(check_interrupted());
      u64 actual = golden_digest(kernels, count, Arena(block.data, block.count));
      if (actual != golden_expected(count)) {
        return failed("kernel ", golden_name(count), " of ", isa_name(isa), ": digest ", Hex{actual, 16}, ", expected ",
                      Hex{golden_expected(count), 16});
      }
    }
    print("kernels ", isa_name(isa), ": ", count, " digests hold\n");
    EDGELLM_TRY(check_output());
  }
  return {};
}

constexpr i32 PROOF_IDS = 24;

// Hash of the logits after a fixed run of ids, `step` ids a call.
Status model_hash(Engine& engine, i32 step, u64* hash) {
  i32 ids[PROOF_IDS];
  for (i32 i = 0; i < PROOF_IDS; i++)
    ids[i] = static_cast<i32>((i64{i} * i * 7919 + 13 * i + 1) % engine.model.vocab);
  Session& session = engine.sessions[0];
  session.restart();
  for (i32 at = 0; at < PROOF_IDS; at += step) {
    Step part = {&session, {ids + at, min(step, PROOF_IDS - at)}, Wanted::last};
    EDGELLM_TRY(forward(engine, {&part, 1}));
  }
  *hash = logits_hash(engine, 0);
  return {};
}

Status check_model(Options& options) {
  options.engine.context = PROOF_IDS;
  Engine engine;
  EDGELLM_TRY(open_model(options, &engine));
  u64 first = 0;
  for (i32 isa = 0; isa_name(isa); isa++) {
    if (!select_kernels(isa_name(isa), cpu_features(), &engine.kernels)) continue;
    const i32 steps[] = {PROOF_IDS, 7, 1};
    for (i32 step : steps) {
      u64 hash;
      EDGELLM_TRY(model_hash(engine, step, &hash));
      if (first == 0) first = hash;
      if (hash != first) {
        return failed("model: logits hash ", Hex{hash, 16}, " with ", isa_name(isa), " in steps of ", step, ", ",
                      Hex{first, 16}, " with ref");
      }
    }
  }
  FileHeader header = *reinterpret_cast<const FileHeader*>(engine.file.bytes().data);
  print("model ", options.model, ": logits hash ", Hex{first, 16},
        " with every kernel set, in one call, in sevens and one by one\n");
  for (const KnownModel& known : KNOWN_MODELS) {
    if (known.data_checksum != header.data_checksum || known.hash == 0) continue;
    if (known.hash != first) return failed("model: logits hash ", Hex{first, 16}, ", known to be ", Hex{known.hash, 16});
    print("model: this is its known hash\n");
  }
  return {};
}

}  // namespace

Status selftest_command(Options& options) {
  EDGELLM_TRY(check_kernels());
  if (!options.model) options.model = bundled_model();
  if (!options.model) {
    print("no bundled model found: give one to test it\n");
    return {};
  }
  return check_model(options);
}

}  // namespace edgellm
