#include "convert/family/hf_fields.h"

#include <algorithm>
#include <cassert>

#include "convert/base/error.h"

namespace edgellm::convert {
namespace {

constexpr Field read(const char* name, const char* absent = "") {
  return {name, Use::read, "", absent};
}
constexpr Field inert(const char* name, const char* why) {
  return {name, Use::inert, why, ""};
}
constexpr Field only(const char* name, const char* values, const char* absent = "") {
  return {name, Use::only, values, absent};
}

// Why a field changes no logit.
constexpr const char* TRAINING = "training";
constexpr const char* SAMPLING = "sampling";  // how ids are picked from logits, which the user decides
constexpr const char* NAMES = "names and versions";
constexpr const char* OUTPUTS = "other outputs";
constexpr const char* SPEED = "speed";  // the same sums in another order, or kept for later
constexpr const char* PADDING = "padding";
constexpr const char* TASKS = "other tasks";
constexpr const char* STORAGE = "type of stored floats";  // each tensor has its own

// Of every class of transformers. Those that only older versions have are read by 5.24 as attributes that nothing asks for, or
// are dropped as settings of generation.
constexpr Field PRETRAINED[] = {
    read("architectures"),
    read("bos_token_id"),
    read("eos_token_id"),
    only("per_layer_config", "{}"),
    only("is_causal", "true"),
    only("attention_chunk_size", ""),
    only("kv_sharing_modes", ""),
    only("fusion_config", ""),
    only("transformers_weights", ""),
    only("pruned_heads", "{}"),
    inert("_name_or_path", NAMES),
    inert("name_or_path", NAMES),
    inert("_commit_hash", NAMES),
    inert("transformers_version", NAMES),
    inert("auto_map", NAMES),  // the code in the folder; what transformers itself computes is what is converted
    inert("custom_pipelines", NAMES),
    inert("tokenizer_class", NAMES),
    inert("unsloth_version", NAMES),
    inert("dtype", STORAGE),
    inert("torch_dtype", STORAGE),
    inert("use_bfloat16", STORAGE),
    inert("pad_token_id", PADDING),
    inert("sep_token_id", PADDING),
    inert("decoder_start_token_id", PADDING),
    inert("prefix", PADDING),
    inert("use_cache", SPEED),
    inert("chunk_size_feed_forward", SPEED),
    inert("attn_implementation", SPEED),
    inert("_attn_implementation", SPEED),
    inert("_attn_implementation_autoset", SPEED),
    inert("torchscript", SPEED),
    inert("initializer_range", TRAINING),
    inert("gradient_checkpointing", TRAINING),
    inert("tf_legacy_loss", TRAINING),
    inert("output_hidden_states", OUTPUTS),
    inert("output_attentions", OUTPUTS),
    inert("return_dict", OUTPUTS),
    inert("use_return_dict", OUTPUTS),
    inert("tie_last_hidden_states", OUTPUTS),
    inert("id2label", TASKS),
    inert("label2id", TASKS),
    inert("num_labels", TASKS),
    inert("problem_type", TASKS),
    inert("finetuning_task", TASKS),
    inert("task_specific_params", TASKS),
    inert("is_decoder", TASKS),  // these classes are decoders without cross attention, whatever it says
    inert("is_encoder_decoder", TASKS),
    inert("add_cross_attention", TASKS),
    inert("cross_attention_hidden_size", TASKS),
    inert("tie_encoder_decoder", TASKS),
    inert("bad_words_ids", SAMPLING),
    inert("begin_suppress_tokens", SAMPLING),
    inert("diversity_penalty", SAMPLING),
    inert("do_sample", SAMPLING),
    inert("early_stopping", SAMPLING),
    inert("encoder_no_repeat_ngram_size", SAMPLING),
    inert("exponential_decay_length_penalty", SAMPLING),
    inert("forced_bos_token_id", SAMPLING),
    inert("forced_eos_token_id", SAMPLING),
    inert("length_penalty", SAMPLING),
    inert("max_length", SAMPLING),
    inert("min_length", SAMPLING),
    inert("no_repeat_ngram_size", SAMPLING),
    inert("num_beam_groups", SAMPLING),
    inert("num_beams", SAMPLING),
    inert("num_return_sequences", SAMPLING),
    inert("output_scores", SAMPLING),
    inert("remove_invalid_values", SAMPLING),
    inert("repetition_penalty", SAMPLING),
    inert("return_dict_in_generate", SAMPLING),
    inert("suppress_tokens", SAMPLING),
    inert("temperature", SAMPLING),
    inert("top_k", SAMPLING),
    inert("top_p", SAMPLING),
    inert("typical_p", SAMPLING),
};

// Of every transformer: sizes, which must be there, rotary embedding, and what this converter alone reads.
constexpr Field TRANSFORMER[] = {
    read("hidden_size"),
    read("intermediate_size"),
    read("num_hidden_layers"),
    read("num_attention_heads"),
    read("vocab_size"),
    read("tie_word_embeddings", "false"),
    read("rope_parameters"),
    read("rope_scaling"),  // older; the rest of the line too
    read("partial_rotary_factor"),
    read("original_max_position_embeddings"),
    read("layer_types"),
    read("quantization_config"),
    only("qk_layernorm", "false", "false"),
    inert("attention_dropout", TRAINING),
    read("rope_interleaved"),  // ours, as `norms` and `final_norm_eps`
    read("norms"),
    read("final_norm_eps"),
};

constexpr Field LLAMA[] = {
    only("model_type", R"("llama")"),
    read("num_key_value_heads"),  // none: as many as heads
    read("head_dim"),             // none: hidden_size / num_attention_heads
    read("hidden_act", R"("silu")"),
    read("max_position_embeddings", "2048"),
    read("rms_norm_eps", "1e-6"),
    read("rope_theta", "10000"),
    read("attention_bias", "false"),
    read("mlp_bias", "false"),
    only("sliding_window", ""),  // its cache would forget what its mask does not hide
    inert("pretraining_tp", SPEED),
};

constexpr Field MISTRAL[] = {
    only("model_type", R"("mistral")"),
    read("num_key_value_heads", "8"),
    read("head_dim"),
    read("hidden_act", R"("silu")"),
    read("max_position_embeddings", "131072"),
    read("rms_norm_eps", "1e-6"),
    read("rope_theta", "10000"),
    read("sliding_window", "4096"),
};

constexpr Field QWEN2[] = {
    only("model_type", R"("qwen2")"), read("num_key_value_heads", "32"),        read("head_dim"),
    read("hidden_act", R"("silu")"),  read("max_position_embeddings", "32768"), read("rms_norm_eps", "1e-6"),
    read("rope_theta", "10000"),      read("use_sliding_window", "false"),      read("sliding_window", "4096"),
    read("max_window_layers", "28"),
};

constexpr Field QWEN3[] = {
    only("model_type", R"("qwen3")"), read("num_key_value_heads", "32"),        read("head_dim", "128"),
    read("hidden_act", R"("silu")"),  read("max_position_embeddings", "32768"), read("rms_norm_eps", "1e-6"),
    read("rope_theta", "10000"),      read("attention_bias", "false"),          read("use_sliding_window", "false"),
    read("sliding_window", "4096"),   read("max_window_layers", "28"),
};

constexpr Field PHI[] = {
    only("model_type", R"("phi")"),
    read("num_key_value_heads"),
    read("head_dim"),
    read("hidden_act", R"("gelu_new")"),
    read("max_position_embeddings", "2048"),
    read("layer_norm_eps", "1e-5"),
    read("rope_theta", "10000"),
    read("partial_rotary_factor", "0.5"),
    only("sliding_window", ""),
    inert("resid_pdrop", TRAINING),
    inert("embd_pdrop", TRAINING),
};

constexpr Field BITNET[] = {
    only("model_type", R"("bitnet")"), read("num_key_value_heads", "5"),        read("head_dim"),
    read("hidden_act", R"("relu2")"),  read("max_position_embeddings", "2048"), read("rms_norm_eps", "1e-5"),
    read("rope_theta", "500000"),      read("attention_bias", "false"),         only("sliding_window", ""),
};

// The class of the older spelling, which is not in transformers.
constexpr Field OLD_BITNET[] = {
    only("model_type", R"("llama", "bitnet")"),
    read("num_key_value_heads"),
    read("head_dim"),
    read("hidden_act", R"("silu")"),
    read("max_position_embeddings", "2048"),
    read("rms_norm_eps", "1e-5"),
    read("rope_theta", "10000"),
    read("attention_bias", "false"),
    only("weight_bits", "1", "1"),
    only("input_bits", "8", "8"),
    only("packed", "false"),
    only("quant_bits", ""),
    only("sliding_window", ""),
    inert("pretraining_tp", SPEED),
};

constexpr Field MAMBA[] = {
    read("model_type"),
    read("vocab_size"),
    read("hidden_size"),
    read("state_size"),
    read("num_hidden_layers"),
    read("intermediate_size"),
    read("conv_kernel"),
    read("time_step_rank"),
    read("layer_norm_epsilon", "1e-5"),
    read("use_conv_bias", "true"),
    read("tie_word_embeddings", "true"),
    only("use_bias", "false", "false"),
    only("hidden_act", R"("silu", "swish")", R"("silu")"),
    only("quantization_config", ""),
    inert("expand", "intermediate_size"),  // of which it is only the default
    inert("residual_in_fp32", STORAGE),
    inert("time_step_scale", TRAINING),
    inert("time_step_min", TRAINING),
    inert("time_step_max", TRAINING),
    inert("time_step_init_scheme", TRAINING),
    inert("time_step_floor", TRAINING),
    inert("rescale_prenorm_residual", TRAINING),
    inert("use_mambapy", SPEED),
    inert("use_associative_scan", SPEED),
};

constexpr Field MAMBA2[] = {
    read("model_type"),
    read("vocab_size"),
    read("hidden_size"),
    read("state_size"),
    read("num_hidden_layers"),
    read("num_heads"),
    read("head_dim"),
    read("n_groups", "8"),
    read("conv_kernel"),
    read("time_step_limit", "[0, Infinity]"),
    read("layer_norm_epsilon", "1e-5"),
    read("use_conv_bias", "true"),
    read("tie_word_embeddings", "false"),
    only("use_bias", "false", "false"),
    only("hidden_act", R"("silu", "swish")", R"("silu")"),
    only("quantization_config", ""),
    inert("expand", "num_heads"),  // and head_dim, whose product is that of it and hidden_size
    inert("time_step_rank", TRAINING),
    inert("time_step_min", TRAINING),
    inert("time_step_max", TRAINING),
    inert("time_step_floor", TRAINING),
    inert("rescale_prenorm_residual", TRAINING),
    inert("residual_in_fp32", STORAGE),
    inert("chunk_size", SPEED),
};

// The authors' own configurations of both, which are not of transformers.
constexpr Field MAMBA_SSM[] = {
    read("d_model"),
    read("n_layer"),
    read("vocab_size"),
    read("pad_vocab_size_multiple", "8"),
    read("ssm_cfg"),
    read("tie_embeddings", "true"),
    only("rms_norm", "true", "true"),
    only("d_intermediate", "0"),
    only("attn_layer_idx", "[]"),
    only("attn_cfg", "{}"),
    only("bidirectional", "false"),
    inert("residual_in_fp32", STORAGE),
    inert("fused_add_norm", SPEED),
};

constexpr Field SSM_CFG[] = {
    only("layer", R"("Mamba1")"),
    read("d_state"),
    read("d_conv"),
    read("dt_rank"),
    read("conv_bias", "true"),
    only("bias", "false", "false"),
    inert("expand", "d_inner"),
    inert("dt_min", TRAINING),
    inert("dt_max", TRAINING),
    inert("dt_init", TRAINING),
    inert("dt_scale", TRAINING),
    inert("dt_init_floor", TRAINING),
    inert("use_fast_path", SPEED),
};

constexpr Field SSM_CFG2[] = {
    only("layer", R"("Mamba2")"),
    read("d_state"),
    read("d_conv"),
    read("headdim"),
    read("ngroups", "1"),
    read("conv_bias", "true"),
    read("dt_limit", "[0, Infinity]"),
    only("d_ssm", ""),
    only("D_has_hdim", "false", "false"),
    only("rmsnorm", "true", "true"),
    only("norm_before_gate", "false", "false"),
    only("bias", "false", "false"),
    inert("expand", "d_inner"),
    inert("conv_init", TRAINING),
    inert("A_init_range", TRAINING),
    inert("dt_min", TRAINING),
    inert("dt_max", TRAINING),
    inert("dt_init_floor", TRAINING),
    inert("chunk_size", SPEED),
    inert("use_mem_eff_path", SPEED),
    inert("process_group", SPEED),
    inert("sequence_parallel", SPEED),
};

constexpr Field RWKV[] = {
    read("model_type"),
    read("vocab_size"),
    read("context_length", "1024"),
    read("hidden_size"),
    read("num_hidden_layers"),
    read("attention_hidden_size"),
    read("intermediate_size"),
    only("layer_norm_epsilon", "1e-5", "1e-5"),  // the last norm has this one whatever it says
    read("tie_word_embeddings", "false"),
    only("quantization_config", ""),
    inert("max_position_embeddings", "bounds nothing"),
    inert("rescale_every", "halves x and what is added to it alike"),  // which leaves the norms but for their epsilon
};

constexpr Field RETNET[] = {
    read("model_type"),
    read("vocab_size"),
    read("decoder_layers"),
    read("decoder_embed_dim"),
    read("decoder_value_embed_dim"),
    read("decoder_ffn_embed_dim"),
    read("decoder_retention_heads"),
    read("layernorm_embedding", "false"),
    read("no_scale_embedding", "true"),
    read("use_lm_decay", "false"),
    read("layernorm_eps", "1e-6"),
    read("tie_word_embeddings", "false"),
    only("activation_fn", R"("swish")"),  // which is in every published configuration; the class would take gelu
    only("use_glu", "true", "true"),
    only("decoder_normalize_before", "true", "true"),
    only("deepnorm", "false", "false"),
    only("quantization_config", ""),
    inert("subln", "without use_glu"),
    inert("use_ffn_rms_norm", "without use_glu"),
    inert("dropout", TRAINING),
    inert("activation_dropout", TRAINING),
    inert("drop_path_rate", TRAINING),
    inert("z_loss_coeff", TRAINING),
    inert("forward_impl", SPEED),
    inert("recurrent_chunk_size", SPEED),
    inert("disable_fused_ops", SPEED),
    inert("output_retentions", OUTPUTS),
};

constexpr Field ROPE[] = {
    read("rope_type"),
    read("type"),  // older
    read("rope_theta"),
    read("partial_rotary_factor"),
    read("factor"),
    read("original_max_position_embeddings"),
    read("low_freq_factor"),
    read("high_freq_factor"),
    read("attention_factor"),
    read("beta_fast", "32"),
    read("beta_slow", "1"),
    read("mscale"),
    read("mscale_all_dim"),
    read("truncate", "true"),
    inert("short_factor", "longrope"),  // refused by its rope_type
    inert("long_factor", "longrope"),
    inert("mrope_section", TASKS),
    inert("finetuned", NAMES),
};

constexpr Field QUANTIZATION[] = {
    only("quant_method", R"("bitnet")"),
    only("linear_class", R"("bitlinear", "autobitlinear")", R"("bitlinear")"),
    only("quantization_mode", R"("offline", "online")", R"("offline")"),
    read("modules_to_not_convert"),
    only("use_rms_norm", "false", "false"),
    inert("rms_norm_eps", "without use_rms_norm"),
};

// Keys of a GGUF file, without the architecture in front.
constexpr Field GGUF[] = {
    read("context_length"),
    read("embedding_length"),
    read("block_count"),
    read("feed_forward_length"),
    read("attention.head_count"),
    read("attention.head_count_kv"),
    read("attention.key_length"),
    read("attention.value_length"),
    read("attention.layer_norm_epsilon"),
    read("attention.layer_norm_rms_epsilon"),
    read("attention.sliding_window"),
    read("rope.dimension_count"),
    read("rope.freq_base"),
    read("rope.scale_linear"),  // older
    read("rope.scaling.type"),
    read("rope.scaling.factor"),
    read("rope.scaling.original_context_length"),
    read("rope.scaling.attn_factor"),
    read("rope.scaling.yarn_attn_factor"),
    read("rope.scaling.yarn_beta_fast"),
    read("rope.scaling.yarn_beta_slow"),
    only("rope.scaling.yarn_ext_factor", "1"),
    only("rope.scaling.yarn_log_multiplier", "0"),
    only("rope.scaling.alpha", ""),
    only("rope.dimension_sections", ""),
    only("rope.dimension_count_swa", ""),
    only("rope.freq_base_swa", ""),
    only("attention.causal", "true"),
    only("attention.scale", ""),
    only("attention.output_scale", ""),
    only("attention.clamp_kqv", "0"),
    only("attention.max_alibi_bias", "0"),
    only("attention.temperature_length", ""),
    only("attention.temperature_scale", ""),
    only("attention.relative_buckets_count", ""),
    only("attention.shared_kv_layers", "0"),
    only("attention.sliding_window_pattern", ""),
    only("attention.key_length_mla", ""),
    only("attention.value_length_mla", ""),
    only("attention.key_length_swa", ""),
    only("attention.value_length_swa", ""),
    only("attention.q_lora_rank", ""),
    only("attention.kv_lora_rank", ""),
    only("attn_logit_softcapping", "0"),
    only("final_logit_softcapping", "0"),
    only("logit_scale", "1"),
    only("residual_scale", "1"),
    only("embedding_scale", "1"),
    only("use_parallel_residual", "false"),
    only("expert_count", "0"),
    only("expert_used_count", "0"),
    only("nextn_predict_layers", "0"),
    only("n_deepstack_layers", "0"),
    only("embedding_length_out", ""),
    only("embedding_length_per_layer_input", ""),
    only("full_attention_interval", ""),
    only("activation_sparsity_scale", ""),
    only("swiglu_clamp_exp", ""),
    only("swin_norm", "false"),
    inert("vocab_size", "token_embd"),  // has as many rows
    inert("tensor_data_layout", NAMES),
    inert("rope.scaling.finetuned", NAMES),
    inert("pooling_type", TASKS),
    inert("classifier.output_labels", TASKS),
    inert("decoder_start_token_id", TASKS),
    inert("leading_dense_block_count", "without experts"),
    inert("interleave_moe_layer_step", "without experts"),
};

constexpr ConfigClass CLASSES[] = {
    {"LlamaConfig", {LLAMA, TRANSFORMER, PRETRAINED}},
    {"MistralConfig", {MISTRAL, TRANSFORMER, PRETRAINED}},
    {"Qwen2Config", {QWEN2, TRANSFORMER, PRETRAINED}},
    {"Qwen3Config", {QWEN3, TRANSFORMER, PRETRAINED}},
    {"PhiConfig", {PHI, TRANSFORMER, PRETRAINED}},
    {"BitNetConfig", {BITNET, TRANSFORMER, PRETRAINED}},
    {"BitnetConfig", {OLD_BITNET, TRANSFORMER, PRETRAINED}},
    {"MambaConfig", {MAMBA, PRETRAINED}},
    {"Mamba2Config", {MAMBA2, PRETRAINED}},
    {"mamba_ssm's MambaConfig", {MAMBA_SSM, PRETRAINED}},
    {"mamba_ssm's Mamba", {SSM_CFG}},
    {"mamba_ssm's Mamba2", {SSM_CFG2}},
    {"RwkvConfig", {RWKV, PRETRAINED}},
    {"RetNetConfig", {RETNET, PRETRAINED}},
    {"RopeParameters", {ROPE}},
    {"BitNetQuantConfig", {QUANTIZATION}},
    {"GGUF", {GGUF}},
};

std::string shown(const Json& value) {
  if (value.string()) return "\"" + *value.string() + "\"";
  if (value.number()) return text(*value.number());
  if (value.boolean()) return *value.boolean() ? "true" : "false";
  return value.array() ? "a list" : "an object";
}

// Of lists and objects only empty ones are.
bool equal(const Json& a, const Json& b) {
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.boolean() && b.boolean()) return *a.boolean() == *b.boolean();
  if (a.number() && b.number()) return *a.number() <= *b.number() && *a.number() >= *b.number();
  if (a.array() && b.array()) return a.array()->empty() && b.array()->empty();
  return a.object() && b.object() && a.object()->empty() && b.object()->empty();
}

// A member that is there but null is not missing.
bool has_member(const Json& object, const char* name) {
  return std::any_of(object.object()->begin(), object.object()->end(),
                     [name](const auto& member) { return member.first == name; });
}

void check_value(const Json& config, const Field& field, bool missing, const std::string& where, const ConfigClass& of) {
  const Json* value = config.find(field.name);
  if (!value) return;
  const Json accepted = parse_json("[" + std::string(field.text) + "]", field.name);
  if (std::any_of(accepted.array()->begin(), accepted.array()->end(), [&](const Json& one) { return equal(*value, one); }))
    return;
  unusable(where, ": \"", field.name, "\" is ", shown(*value), missing ? text(", the default of ", of.name) : "",
           ", which is not supported", *field.text ? text(" (", field.text, ")") : "");
}

}  // namespace

const Field* ConfigClass::find(std::string_view field) const {
  for (std::span<const Field> list : lists) {
    for (const Field& one : list) {
      if (field == one.name) return &one;
    }
  }
  return nullptr;
}

std::span<const ConfigClass> config_classes() {
  return CLASSES;
}

const ConfigClass& config_class(std::string_view name) {
  const ConfigClass* found =
      std::find_if(std::begin(CLASSES), std::end(CLASSES), [name](const ConfigClass& one) { return name == one.name; });
  assert(found != std::end(CLASSES));
  return *found;
}

Json complete_config(const Json& config, const std::string& where, const ConfigClass& of, std::vector<std::string>* notes) {
  if (!config.object()) unusable(where, ": expected an object");
  Json::Object members;
  std::string unknown;
  for (const auto& member : *config.object()) {
    if (of.find(member.first)) {
      members.push_back(member);
    } else {
      unknown += text(unknown.empty() ? "" : ", ", member.first);
    }
  }
  if (!unknown.empty()) notes->push_back(text(where, ": no fields of ", of.name, ", and so without effect: ", unknown));
  auto for_each = [&of](auto use) {
    for (std::span<const Field> list : of.lists) {
      for (const Field& field : list) {
        if (of.find(field.name) == &field) use(field);  // else an earlier list has its own
      }
    }
  };
  for_each([&](const Field& field) {
    if (*field.absent && !has_member(config, field.name))
      members.emplace_back(field.name, parse_json(field.absent, field.name));
  });
  const Json complete(std::move(members));
  for_each([&](const Field& field) {
    if (field.use == Use::only) check_value(complete, field, !has_member(config, field.name), where, of);
  });
  return complete;
}

}  // namespace edgellm::convert
