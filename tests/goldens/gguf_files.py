"""Writes tests/goldens/gguf: a tiny random model of every architecture that winnow reads from GGUF, laid out as llama.cpp's
converter lays it out (names by the gguf package), and what transformers computes with the same weights. See README.md."""

import math
import os
import re
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import families
from families import FAMILIES, ROPE, VOCAB, bert_like, llama_like, scaled, t5_like
from models_common import HERE, nll_rows, randomize, save

import gguf
import numpy as np
import torch
import transformers as tf
from safetensors.torch import load_file

F32, F16 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16


def family(name):
    return FAMILIES[name]


def with_(name, **changes):
    """That family's model, with what llama.cpp has in its code instead of in the file."""
    config, model_class, *rest = FAMILIES[name]
    return (type(config)(**dict(config.to_dict(), **changes)), model_class, *rest)


def long_factors():
    return {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.25, 2.5], "long_factor": [1.0, 2.0, 4.0],
            "original_max_position_embeddings": 16}


# name: architecture in GGUF, (config, model class, kind[, embedding spread, norm gains less 1])
MODELS = {
    "llama": ("llama", (tf.LlamaConfig(**llama_like(attention_bias=True)), tf.LlamaForCausalLM, "decoder")),
    "llama-linear": ("llama", family("llama-linear")),
    "llama-yarn": ("llama", family("llama-yarn")),
    "llama3": ("llama", family("llama3")),
    "mistral": ("llama", family("mistral")),
    "qwen2": ("qwen2", family("qwen2")),
    "qwen3": ("qwen3", family("qwen3")),
    "gemma": ("gemma", family("gemma")),
    "gemma2": ("gemma2", with_("gemma2", query_pre_attn_scalar=6)),
    "gemma3": ("gemma3", with_("gemma3-text", num_hidden_layers=7, query_pre_attn_scalar=6, layer_types=None,
                               sliding_window_pattern=6)),
    "smollm3": ("smollm3", with_("smollm3", num_hidden_layers=5, no_rope_layers=[1, 1, 1, 0, 1], no_rope_layer_interval=4,
                                 layer_types=None)),
    "phi3": ("phi3", family("phi3")),
    "phi3-long": ("phi3", (tf.Phi3Config(**{k: v for k, v in llama_like(
        hidden_size=24, sliding_window=None, resid_pdrop=0.0, embd_pdrop=0.0, pad_token_id=3,
        original_max_position_embeddings=16, rope_parameters=long_factors()).items() if k != "head_dim"}), tf.Phi3ForCausalLM, "decoder")),
    "olmo2": ("olmo2", family("olmo2")),
    "gpt2": ("gpt2", family("gpt2")),
    "gptneox": ("gptneox", family("gpt-neox")),
    "gptneox-serial": ("gptneox", family("gpt-neox-serial")),
    "bloom": ("bloom", family("bloom")),
    "bert": ("bert", (tf.BertConfig(**bert_like(type_vocab_size=2, pad_token_id=0)), tf.BertModel, "encoder")),
    "t5-v1.0": ("t5", (tf.T5Config(**t5_like(feed_forward_proj="relu", tie_word_embeddings=True,
                                             relative_attention_max_distance=128)),
                       tf.T5ForConditionalGeneration, "encdec")),
    "t5-v1.1": ("t5", (tf.T5Config(**t5_like(num_decoder_layers=3, relative_attention_max_distance=128)),
                       tf.T5ForConditionalGeneration, "encdec")),
    "t5encoder": ("t5encoder", (tf.T5Config(**t5_like(relative_attention_max_distance=128)), tf.T5EncoderModel, "encoder")),
}


def tokenizer(w, arch):
    """Words that make no difference: ids are given."""
    words = ["<unk>", "<s>", "</s>", "\u2581"] + [f"w{i}" for i in range(VOCAB - 4)]
    types = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (VOCAB - 3)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(words)
    w.add_token_scores([-float(i) for i in range(VOCAB)])
    w.add_token_types(types)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)


def rope(w, c, width):
    """Metadata of positions, and the tensors of those kinds that are told by tensors."""
    r = c.rope_parameters
    r = r.get("full_attention", r)
    w.add_rope_freq_base(r["rope_theta"])
    rotated = int(width * r.get("partial_rotary_factor", 1.0))
    w.add_rope_dimension_count(rotated)
    kind = r["rope_type"]
    if kind == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(r["factor"])
    elif kind == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(r["factor"])
        w.add_rope_scaling_orig_ctx_len(r["original_max_position_embeddings"])
        w.add_rope_scaling_yarn_beta_fast(r["beta_fast"])
        w.add_rope_scaling_yarn_beta_slow(r["beta_slow"])
    elif kind == "llama3":
        freq = 1.0 / r["rope_theta"] ** (np.arange(0, width, 2) / width)
        wave = 2 * math.pi / freq
        old, low, high = r["original_max_position_embeddings"], r["low_freq_factor"], r["high_freq_factor"]
        smooth = (old / wave - low) / (high - low)
        between = 1 / ((1 - smooth) / r["factor"] + smooth)
        w.add_tensor("rope_freqs.weight", np.where(wave < old / high, 1.0, np.where(wave > old / low, r["factor"],
                                                                                   between)).astype(np.float32))
    elif kind == "longrope":
        old = r["original_max_position_embeddings"]
        w.add_rope_scaling_orig_ctx_len(old)
        w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(c.max_position_embeddings / old) / math.log(old)))
        w.add_tensor("rope_factors_long.weight", np.array(r["long_factor"], np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(r["short_factor"], np.float32))
    else:
        assert kind == "default"


def decoder_keys(w, arch, c):
    H = c.num_attention_heads
    d = getattr(c, "head_dim", None) or c.hidden_size // H
    w.add_context_length(getattr(c, "max_position_embeddings", None) or getattr(c, "seq_length", None) or c.hidden_size)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(getattr(c, "intermediate_size", None) or getattr(c, "n_inner", None) or 4 * c.hidden_size)
    w.add_head_count(H)
    if arch in ("gpt2", "gptneox", "bloom"):
        w.add_layer_norm_eps(getattr(c, "layer_norm_eps", None) or c.layer_norm_epsilon)
    else:
        w.add_head_count_kv(c.num_key_value_heads)
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
        if d * H != c.hidden_size or arch.startswith("gemma"):
            w.add_key_length(d)
            w.add_value_length(d)
    if arch == "gptneox":
        w.add_parallel_residual(c.use_parallel_residual)
    if arch not in ("gpt2", "bloom", "gemma"):
        rope(w, c, d)
    if getattr(c, "sliding_window", None) and arch in ("llama", "phi3", "gemma2", "gemma3"):
        w.add_sliding_window(c.sliding_window)
    if arch == "gemma2":
        w.add_attn_logit_softcapping(c.attn_logit_softcapping)
        w.add_final_logit_softcapping(c.final_logit_softcapping)


def keys(w, arch, c):
    if arch == "bert":
        w.add_context_length(c.max_position_embeddings)
        w.add_embedding_length(c.hidden_size)
        w.add_block_count(c.num_hidden_layers)
        w.add_feed_forward_length(c.intermediate_size)
        w.add_head_count(c.num_attention_heads)
        w.add_layer_norm_eps(c.layer_norm_eps)
        w.add_causal_attention(False)
        w.add_token_type_count(c.type_vocab_size)
    elif arch.startswith("t5"):
        w.add_context_length(512)
        w.add_embedding_length(c.d_model)
        w.add_feed_forward_length(c.d_ff)
        w.add_block_count(c.num_layers)
        if arch == "t5":
            w.add_decoder_block_count(c.num_decoder_layers)
            w.add_decoder_start_token_id(c.decoder_start_token_id)
        w.add_head_count(c.num_heads)
        w.add_key_length(c.d_kv)
        w.add_value_length(c.d_kv)
        w.add_layer_norm_eps(c.layer_norm_epsilon)
        w.add_layer_norm_rms_eps(c.layer_norm_epsilon)
        w.add_relative_attn_buckets_count(c.relative_attention_num_buckets)
    else:
        decoder_keys(w, arch, c)


def changed(arch, c, name, x):
    """What the converter does to a tensor's values."""
    if arch in ("llama", "smollm3") and re.search(r"\.[qk]_proj\.", name):
        heads = c.num_attention_heads if ".q_proj." in name else c.num_key_value_heads
        x = x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
    if arch.startswith("gemma") and name.endswith("norm.weight"):
        x = x + 1
    if arch == "gpt2" and re.search(r"\.c_(attn|proj|fc)\.weight$", name):
        x = x.transpose(1, 0)
    if arch in ("gptneox", "bloom") and "query_key_value" in name:
        H = c.num_attention_heads
        x = x.reshape(H, 3, c.hidden_size // H, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)
    return np.ascontiguousarray(x)


def write_gguf(path, arch, model):
    c = model.config
    layers = getattr(c, "num_hidden_layers", None) or c.num_layers
    names = gguf.get_tensor_name_map(next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == arch),
                                     max(layers, getattr(c, "num_decoder_layers", None) or 0))
    w = gguf.GGUFWriter(path, arch)
    w.add_name("tiny")
    keys(w, arch, c)
    tokenizer(w, arch)
    for n, x in model.state_dict().items():
        tied = n in ("lm_head.weight", "embed_out.weight") and getattr(c, "tie_word_embeddings", False)
        if tied or n in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight") or n.endswith((".attn.bias", "position_ids",
                                                                                                   "inv_freq")):
            continue
        x = changed(arch, c, n, x.numpy().astype(np.float32))
        if arch == "bloom":
            n = n.removeprefix("transformer.")
        new = names.get_name(n, try_suffixes=(".weight", ".bias"))
        assert new, n
        kind = F16 if x.ndim == 2 else F32
        w.add_tensor(new, gguf.quants.quantize(x, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write(name, seed, arch, config, model_class, kind, spread=0.4, gain_offset=False):
    config._attn_implementation = "eager"
    model = model_class(config)
    model.embed_spread, model.gain_offset = spread, gain_offset
    if name == "t5-v1.1":  # see families.py
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    if kind == "encoder" and hasattr(model, "pooler"):
        model.pooler = None
    randomize(model.double(), seed).eval()
    write_gguf(os.path.join(HERE, "gguf", name + ".gguf"), arch, model)
    out = {}
    if arch == "t5encoder":
        families.STACKS += ("encoder.block",)
    {"decoder": families.decoder, "encoder": families.encoder, "encdec": families.encdec}[kind](
        out, model, torch.Generator().manual_seed(seed))
    out = {k: v for k, v in out.items() if not k.startswith(("grad.", "greedy."))}
    save(os.path.join(HERE, "gguf", name + ".safetensors"), out)
    print(name, {k: round(float(v), 3) for k, v in out.items() if k == "loss"})


# What transformers too reads from GGUF, and without defaults of its own for what these tiny models have otherwise.
READ = ("qwen2", "bloom")


def check(name):
    model = tf.AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "gguf"), gguf_file=name + ".gguf", dtype=torch.float32,
                                                    attn_implementation="eager").eval()
    want = load_file(os.path.join(HERE, "gguf", name + ".safetensors"))
    off = want["off"].tolist()
    for b, (i, j) in enumerate(zip(off, off[1:])):
        with torch.no_grad():
            nll, _ = nll_rows(model(want["ids"][i:j].long()[None]).logits[0], want["label"][i:j].long())
        assert abs(nll - want["nll"][b]) < 1e-5 * want["nll"][b], (name, nll, want["nll"][b])


def main():
    only = sys.argv[1:]
    if not only:
        shutil.rmtree(os.path.join(HERE, "gguf"), ignore_errors=True)
    os.makedirs(os.path.join(HERE, "gguf"), exist_ok=True)
    for i, (name, (arch, model)) in enumerate(MODELS.items()):
        if not only or name in only:
            write(name, 700 + i, arch, *model)
            if name in READ:
                check(name)


if __name__ == "__main__":
    sys.exit(main())
