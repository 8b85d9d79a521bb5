"""The shape of BitNet b1.58 2B4T, and how a GGUF file says it."""

WIDTH, FFN, LAYERS, HEADS, KV_HEADS, VOCABULARY, CONTEXT = 2560, 6912, 30, 20, 5, 128256, 4096
KV = WIDTH * KV_HEADS // HEADS


def describe(out):
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FFN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_rope_freq_base(500000.0)
    out.add_layer_norm_rms_eps(1e-5)
