"""Writes tests/goldens/families/NAME: a tiny random model of every architecture beyond models.py, and what transformers computes
with it: hidden states behind every layer, losses, the gradient of every parameter, a greedy continuation. Ids are given, the
folders' tokenizers hold no words. See README.md."""

import json
import os
import re
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from models_common import (HERE, checkpoint, f32, fresh, i32, nll_rows, offsets, ragged, randomize, save,
                           some_labels, unique, write_config)

import torch
import transformers as tf
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers

VOCAB = 43
ROPE = {"rope_type": "default", "rope_theta": 10000.0}


def llama_like(**kw):
    base = dict(vocab_size=VOCAB, hidden_size=20, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                intermediate_size=22, num_hidden_layers=2, max_position_embeddings=64, rms_norm_eps=1e-5,
                tie_word_embeddings=False, rope_parameters=dict(ROPE), bos_token_id=0, eos_token_id=1,
                pad_token_id=None)
    base.update(kw)
    return base


def t5_like(**kw):
    base = dict(vocab_size=VOCAB, d_model=18, d_kv=5, num_heads=3, d_ff=22, num_layers=2, num_decoder_layers=2,
                relative_attention_num_buckets=8, relative_attention_max_distance=14, dropout_rate=0.0,
                feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0, eos_token_id=1,
                decoder_start_token_id=0)
    base.update(kw)
    return base


def bert_like(**kw):
    base = dict(vocab_size=VOCAB, hidden_size=20, num_attention_heads=4, num_hidden_layers=2, intermediate_size=22,
                max_position_embeddings=50, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    base.update(kw)
    return base


def scaled(kind, **kw):
    return dict(ROPE, rope_type=kind, **kw)


# name: (config, model class, kind[, embedding spread, whether norm gains are stored less 1])
FAMILIES = {
    "t5-v1.0": (tf.T5Config(**t5_like(feed_forward_proj="relu", tie_word_embeddings=True)),
                tf.T5ForConditionalGeneration, "encdec"),
    "t5-v1.1": (tf.T5Config(**t5_like()), tf.T5ForConditionalGeneration, "encdec"),
    "mt5": (tf.MT5Config(**t5_like(num_heads=4, d_kv=4, num_decoder_layers=1)),
            tf.MT5ForConditionalGeneration, "encdec"),
    "byt5": (tf.T5Config(**t5_like(num_layers=3, num_decoder_layers=1, tokenizer_class="ByT5Tokenizer")),
             tf.T5ForConditionalGeneration, "encdec"),

    "roberta": (tf.RobertaConfig(**bert_like(type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)),
                tf.RobertaModel, "encoder"),
    "xlm-roberta": (tf.XLMRobertaConfig(**bert_like(type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5,
                                                    hidden_act="gelu")), tf.XLMRobertaModel, "encoder"),
    "distilbert": (tf.DistilBertConfig(vocab_size=VOCAB, dim=20, n_heads=4, n_layers=3, hidden_dim=22,
                                       max_position_embeddings=50, dropout=0.0, attention_dropout=0.0),
                   tf.DistilBertModel, "encoder"),
    "mpnet": (tf.MPNetConfig(**bert_like(relative_attention_num_buckets=32, pad_token_id=1, layer_norm_eps=1e-5)),
              tf.MPNetModel, "encoder"),
    "modernbert": (tf.ModernBertConfig(
        vocab_size=VOCAB, hidden_size=20, num_attention_heads=2, num_hidden_layers=4, intermediate_size=22,
        max_position_embeddings=64, global_attn_every_n_layers=3, local_attention=8, pad_token_id=2, bos_token_id=0,
        eos_token_id=1, cls_token_id=0, sep_token_id=1), tf.ModernBertModel, "encoder"),

    "gpt2": (tf.GPT2Config(vocab_size=VOCAB, n_embd=20, n_head=4, n_layer=2, n_inner=22, n_positions=50,
                           resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=1),
             tf.GPT2LMHeadModel, "decoder"),
    "gpt-neo": (tf.GPTNeoConfig(vocab_size=VOCAB, hidden_size=20, num_heads=4, num_layers=2, intermediate_size=22,
                                attention_types=[[["global", "local"], 1]], window_size=6,
                                max_position_embeddings=50, bos_token_id=0, eos_token_id=1),
                tf.GPTNeoForCausalLM, "decoder"),
    "gpt-neox": (tf.GPTNeoXConfig(vocab_size=VOCAB, hidden_size=24, num_attention_heads=3, num_hidden_layers=2,
                                  intermediate_size=22, max_position_embeddings=50, use_parallel_residual=True,
                                  rope_parameters=dict(ROPE, partial_rotary_factor=0.5), bos_token_id=0,
                                  eos_token_id=1), tf.GPTNeoXForCausalLM, "decoder"),
    "gpt-neox-serial": (tf.GPTNeoXConfig(vocab_size=VOCAB, hidden_size=24, num_attention_heads=3,
                                         num_hidden_layers=2, intermediate_size=22, max_position_embeddings=50,
                                         use_parallel_residual=False, bos_token_id=0, eos_token_id=1,
                                         rope_parameters=dict(ROPE, partial_rotary_factor=0.25)),
                        tf.GPTNeoXForCausalLM, "decoder"),
    "opt": (tf.OPTConfig(vocab_size=VOCAB, hidden_size=20, num_attention_heads=4, num_hidden_layers=2, ffn_dim=22,
                         max_position_embeddings=50, word_embed_proj_dim=20, dropout=0.0, pad_token_id=1,
                         bos_token_id=2, eos_token_id=2), tf.OPTForCausalLM, "decoder"),
    "opt-post-norm": (tf.OPTConfig(vocab_size=VOCAB, hidden_size=20, num_attention_heads=4, num_hidden_layers=2,
                                   ffn_dim=22, max_position_embeddings=50, word_embed_proj_dim=14,
                                   do_layer_norm_before=False, dropout=0.0, pad_token_id=1, bos_token_id=2,
                                   eos_token_id=2), tf.OPTForCausalLM, "decoder"),
    "bloom": (tf.BloomConfig(vocab_size=VOCAB, hidden_size=20, n_head=5, n_layer=2, hidden_dropout=0.0,
                             attention_dropout=0.0, bos_token_id=0, eos_token_id=1, pad_token_id=3),
              tf.BloomForCausalLM, "decoder"),

    "llama-linear": (tf.LlamaConfig(**llama_like(rope_parameters=scaled("linear", factor=2.5))),
                     tf.LlamaForCausalLM, "decoder"),
    "llama-dynamic": (tf.LlamaConfig(**llama_like(max_position_embeddings=16,
                                                  rope_parameters=scaled("dynamic", factor=3.0))),
                      tf.LlamaForCausalLM, "decoder"),
    "llama-yarn": (tf.LlamaConfig(**llama_like(head_dim=12, rope_parameters=scaled(
        "yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4.0, beta_slow=1.0))),
        tf.LlamaForCausalLM, "decoder"),
    "llama3": (tf.LlamaConfig(**llama_like(head_dim=12, rope_parameters=scaled(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32))),
        tf.LlamaForCausalLM, "decoder"),
    "mistral": (tf.MistralConfig(**llama_like(sliding_window=7)), tf.MistralForCausalLM, "decoder"),
    "qwen2": (tf.Qwen2Config(**{k: v for k, v in llama_like(hidden_size=24, tie_word_embeddings=True).items() if k != "head_dim"}),
              tf.Qwen2ForCausalLM, "decoder"),
    "qwen3": (tf.Qwen3Config(**llama_like(head_dim=10)), tf.Qwen3ForCausalLM, "decoder"),
    "gemma": (tf.GemmaConfig(**llama_like(tie_word_embeddings=True, hidden_activation="gelu_pytorch_tanh",
                                          num_key_value_heads=1)), tf.GemmaForCausalLM, "decoder", 0.08, True),
    "gemma2": (tf.Gemma2Config(**llama_like(tie_word_embeddings=True, query_pre_attn_scalar=9, sliding_window=7,
                                            attn_logit_softcapping=5.0, final_logit_softcapping=3.0)),
               tf.Gemma2ForCausalLM, "decoder", 0.08, True),
    "gemma3-text": (tf.Gemma3TextConfig(**dict(
        llama_like(tie_word_embeddings=True, query_pre_attn_scalar=9, sliding_window=7, num_hidden_layers=3),
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        rope_parameters={"sliding_attention": dict(ROPE),
                         "full_attention": {"rope_type": "linear", "rope_theta": 100000.0, "factor": 2.0}})),
        tf.Gemma3ForCausalLM, "decoder", 0.08, True),
    "smollm3": (tf.SmolLM3Config(**{k: v for k, v in llama_like(
        hidden_size=24, num_hidden_layers=3, no_rope_layers=[1, 0, 1], no_rope_layer_interval=2,
        tie_word_embeddings=True).items() if k != "head_dim"}), tf.SmolLM3ForCausalLM, "decoder"),
    "phi3": (tf.Phi3Config(**{k: v for k, v in llama_like(
        hidden_size=24, sliding_window=9, resid_pdrop=0.0, embd_pdrop=0.0, pad_token_id=3).items()
        if k != "head_dim"}), tf.Phi3ForCausalLM, "decoder"),
    "olmo2": (tf.Olmo2Config(**{k: v for k, v in llama_like(hidden_size=24).items() if k != "head_dim"}),
              tf.Olmo2ForCausalLM, "decoder"),
    # heads wide enough for products between bf16 strips
    "bert-wide": (tf.BertConfig(**bert_like(hidden_size=32, num_attention_heads=2, intermediate_size=70)),
                  tf.BertModel, "encoder"),
    "llama-wide": (tf.LlamaConfig(**llama_like(hidden_size=24, num_attention_heads=2, num_key_value_heads=1,
                                               head_dim=32, intermediate_size=40)), tf.LlamaForCausalLM, "decoder"),
}

def nomic_like():
    return tf.NomicBertConfig(vocab_size=VOCAB, hidden_size=20, num_attention_heads=2, num_hidden_layers=2,
                              intermediate_size=22, max_position_embeddings=48, hidden_dropout_prob=0.0,
                              rope_parameters={"rope_type": "default", "rope_theta": 1000.0})


def without_head_dim(**kw):
    return {k: v for k, v in llama_like(hidden_size=24, **kw).items() if k != "head_dim"}


# Later additions: seeds go by place.
LATER = {
    "bloom-normed-residual": (tf.BloomConfig(
        vocab_size=VOCAB, hidden_size=20, n_head=5, n_layer=2, hidden_dropout=0.0, attention_dropout=0.0,
        apply_residual_connection_post_layernorm=True, bos_token_id=0, eos_token_id=1, pad_token_id=3),
        tf.BloomForCausalLM, "decoder"),
    "phi3-longrope": (tf.Phi3Config(**without_head_dim(
        tie_word_embeddings=True, sliding_window=None, resid_pdrop=0.0, embd_pdrop=0.0, pad_token_id=3,
        original_max_position_embeddings=9, rope_parameters=dict(
            rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
            original_max_position_embeddings=9, short_factor=[1.0, 1.25], long_factor=[1.5, 4.0]))),
        tf.Phi3ForCausalLM, "decoder"),
    "qwen2-window": (tf.Qwen2Config(**without_head_dim(use_sliding_window=True, sliding_window=5, max_window_layers=1,
                                                       num_hidden_layers=3)), tf.Qwen2ForCausalLM, "decoder"),
    "qwen3-layer-types": (tf.Qwen3Config(**llama_like(
        head_dim=10, use_sliding_window=True, sliding_window=5, max_window_layers=28, num_hidden_layers=3,
        attention_bias=True, layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
        tf.Qwen3ForCausalLM, "decoder"),
    "t5-resaved": (tf.T5Config(**t5_like(num_layers=2, num_decoder_layers=1)), tf.T5ForConditionalGeneration, "encdec"),
    # What config.json leaves out, or says without a meaning: MISSING, below.
    "gemma2-defaults": (tf.Gemma2Config(**llama_like(tie_word_embeddings=True)), tf.Gemma2ForCausalLM, "decoder", 0.08, True),
    "gemma-legacy": (tf.GemmaConfig(**llama_like(tie_word_embeddings=True, num_key_value_heads=1)), tf.GemmaForCausalLM, "decoder", 0.08, True),
    "gpt2-defaults": (tf.GPT2Config(vocab_size=VOCAB, n_embd=20, n_head=4, n_layer=2, n_positions=50, resid_pdrop=0.0, embd_pdrop=0.0,
                                    attn_pdrop=0.0), tf.GPT2LMHeadModel, "decoder"),
    "gpt-neox-no-bias": (tf.GPTNeoXConfig(vocab_size=VOCAB, hidden_size=24, num_attention_heads=3, num_hidden_layers=2,
                                          intermediate_size=22, max_position_embeddings=50, attention_bias=False, hidden_act="gelu_new",
                                          rope_parameters=dict(ROPE, partial_rotary_factor=0.25)), tf.GPTNeoXForCausalLM, "decoder"),
    "llama-other-keys": (tf.LlamaConfig(**llama_like(head_dim=4, hidden_size=16, num_key_value_heads=4, attention_bias=True, mlp_bias=True,
                                                     hidden_act="relu")), tf.LlamaForCausalLM, "decoder"),
}
# name: members of config.json that are left out, and those that are put
MISSING = {
    "gemma2-defaults": (("attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar", "sliding_window",
                         "hidden_activation", "layer_types", "tie_word_embeddings"), {}),
    "gemma-legacy": (("tie_word_embeddings",), {"hidden_act": "gelu"}),
    "gpt2-defaults": (("activation_function", "n_inner", "layer_norm_epsilon", "tie_word_embeddings", "scale_attn_weights"), {}),
    "gpt-neox-no-bias": ((), {}),
    "llama-other-keys": (("head_dim", "num_key_value_heads"), {"sliding_window": 4, "layer_types": ["sliding_attention"] * 2}),
}

FAMILIES["nomic-bert"] = (nomic_like(), tf.NomicBertModel, "encoder")
FAMILIES["nomic-bert-published"] = (nomic_like(), tf.NomicBertModel, "encoder")
FAMILIES.update(LATER)


def as_published(tensors):
    """nomic-bert under the names of its publisher's checkpoints: queries, keys and values are one matrix."""
    names = (("layers.", "encoder.layers."), ("embeddings.LayerNorm", "emb_ln"), ("self_attn.o_proj", "attn.out_proj"),
             ("up_proj", "fc11"), ("gate_proj", "fc12"), ("down_proj", "fc2"), ("post_attention_layernorm", "norm1"),
             ("post_mlp_layernorm", "norm2"))
    out = {}
    for k, v in tensors.items():
        if "k_proj" in k or "v_proj" in k:
            continue
        if "q_proj" in k:
            v = torch.cat([tensors[k.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")])
            k = k.replace("self_attn.q_proj", "attn.Wqkv")
        for a, b in names:
            k = k.replace(a, b)
        out[k] = v
    return out


# The layers of each kind of model, for the states behind them.
STACKS = ("model.layers", "transformer.h", "gpt_neox.layers", "model.decoder.layers", "encoder.layer", "layers",
          "transformer.layer")


def find(model, path):
    for part in path.split("."):
        model = getattr(model, part, None)
    return model


def behind(layers, call):
    """What `call` returns, and the state behind every layer while it ran."""
    raw = {}
    hooks = [layer.register_forward_hook(
        lambda m, a, o, i=i: raw.__setitem__(i, (o if torch.is_tensor(o) else o[0])[0]))
        for i, layer in enumerate(layers)]
    out = call()
    for h in hooks:
        h.remove()
    return out, [raw[i] for i in range(len(layers))]


def put_states(out, prefix, states, last):
    for i in range(len(states[0])):
        out[f"{prefix}hidden.{i + 1}"] = f32(torch.cat([s[i] for s in states]))
    if last is not None:
        out[prefix + "hidden.last"] = f32(torch.cat(last))


def put_loss(out, model, sums, counts, some=None):
    """Losses a row, the batch's loss (mean over rows of their mean) and its gradients: of the first layers and of what is
    outside of layers all, of further layers the vectors, whose code is the same; or of those whose names hold one of
    `some`."""
    out["nll"], out["count"] = f32(torch.stack(sums)), i32(counts)
    loss = sum(s / c for s, c in zip(sums, counts)) / len(sums)
    out["loss"] = f32(loss).reshape(1)
    params = unique(model)
    g = torch.autograd.grad(loss, list(params.values()), allow_unused=True)
    for (n, p), x in zip(params.items(), g):
        later = re.search(r"\.[1-9]\d*\.", n) and not re.search(r"\.0\.", n) and p.dim() > 1
        if not any(part in n for part in some) if some else later:
            continue
        out["grad." + n] = f32(x if x is not None else torch.zeros_like(p))


def decoder(out, model, gen):
    layers = next(s for s in (find(model, p) for p in STACKS) if s is not None)
    ids = [[i + 4 if i < 4 else i for i in row] for row in ragged(gen, [6, 1, 19, 4], VOCAB)]
    labels = some_labels(gen, ids, VOCAB)
    states, last, sums, counts = [], [], [], []
    normed = {}
    final = model.get_output_embeddings().register_forward_hook(lambda m, a, o: normed.__setitem__(0, a[0][0]))
    for row, lab in zip(ids, labels):
        got, h = behind(layers, lambda: model(torch.tensor([row]), use_cache=False))
        states.append(h)
        last.append(normed[0])
        s, c = nll_rows(got.logits[0], torch.tensor(lab))
        sums.append(s)
        counts.append(c)
    final.remove()
    out["ids"], out["off"], out["label"] = i32(sum(ids, [])), offsets(ids), i32(sum(labels, []))
    put_states(out, "", states, last)
    # Ways to scale positions share all code but the table of angles: gradients behind it say enough.
    kind = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default")
    put_loss(out, model, sums, counts, None if kind == "default" else ("layers.0.self_attn.q", "layers.0.self_attn.k"))
    prompt = ids[0]
    more = list(prompt)
    with torch.no_grad():
        for _ in range(14):
            more.append(int(model(torch.tensor([more]), use_cache=False).logits[0, -1].argmax()))
    out["greedy.prompt"], out["greedy.ids"] = i32(prompt), i32(more[len(prompt):])


def encoder(out, model, gen):
    layers = next(s for s in (find(model, p) for p in STACKS) if s is not None)
    ids = [[i + 4 if i < 4 else i for i in row] for row in ragged(gen, [6, 1, 19, 4], VOCAB)]
    with torch.no_grad():
        runs = [behind(layers, lambda: model(torch.tensor([row]))) for row in ids]
    out["ids"], out["off"] = i32(sum(ids, [])), offsets(ids)
    put_states(out, "", [h for _, h in runs], [got.last_hidden_state[0] for got, _ in runs])


def encdec(out, model, gen):
    """Encoder rows end in EOS; the decoder starts with its start token and predicts target + EOS."""
    start, eos = model.config.decoder_start_token_id, model.config.eos_token_id
    ids = [[i + 4 if i < 4 else i for i in row] + [eos] for row in ragged(gen, [6, 1, 18, 5], VOCAB)]
    target = [[i + 4 if i < 4 else i for i in row] + [eos] for row in ragged(gen, [4, 7, 1, 14], VOCAB)]
    es, el, ds, dl, sums, counts = [], [], [], [], [], []
    for row, t in zip(ids, target):
        shifted = torch.tensor([[start] + t[:-1]])
        (got, eh), dh = behind(model.decoder.block, lambda: behind(
            model.encoder.block, lambda: model(input_ids=torch.tensor([row]), decoder_input_ids=shifted,
                                               output_hidden_states=True, use_cache=False)))
        es.append(eh)
        el.append(got.encoder_last_hidden_state[0])
        ds.append(dh)
        dl.append(got.decoder_hidden_states[-1][0])
        s, c = nll_rows(got.logits[0], torch.tensor(t))
        sums.append(s)
        counts.append(c)
    out["ids"], out["off"] = i32(sum(ids, [])), offsets(ids)
    out["target"], out["target_off"] = i32(sum(target, [])), offsets(target)
    put_states(out, "", es, el)
    put_states(out, "decoder.", ds, dl)
    put_loss(out, model, sums, counts)
    more = [start]
    with torch.no_grad():
        for _ in range(12):
            got = model(input_ids=torch.tensor([ids[0]]), decoder_input_ids=torch.tensor([more]), use_cache=False)
            more.append(int(got.logits[0, -1].argmax()))
    out["greedy.prompt"], out["greedy.ids"] = i32(ids[0]), i32(more[1:])


def no_tokenizer(path):
    """Folders without a tokenizer don't open; this one has no words."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "##b"]
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.save(os.path.join(path, "tokenizer.json"))


def write(name, seed, config, kind, model_class, spread=0.4, gain_offset=False):
    path = fresh("families", name)
    config._attn_implementation = "eager"
    model = model_class(config)
    model.embed_spread, model.gain_offset = spread, gain_offset
    changes = {}
    if kind == "encdec":
        # transformers 5 ties the head of every T5 that is not loaded from weights that have one; the published
        # v1.1, mT5 and ByT5 have one, and say so in their config.json.
        changes = {"scale_decoder_outputs": None, "tie_word_embeddings": name == "t5-v1.0"}
        if name != "t5-v1.0":
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        if name == "t5-resaved":  # as transformers 5 saves such a model
            changes = {"scale_decoder_outputs": False, "tie_word_embeddings": True}
    randomize(model.double(), seed).eval()
    if kind == "encoder" and hasattr(model, "pooler"):
        model.pooler = None
    tensors = checkpoint(model)
    if name == "nomic-bert-published":
        tensors = as_published(tensors)
        changes = {"n_embd": 20, "n_head": 2, "n_layer": 2, "n_inner": 22, "n_positions": 96, "max_trained_positions": 48,
                   "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "layer_norm_epsilon": 1e-12,
                   "activation_function": "swiglu", "prenorm": False, "qkv_proj_bias": False, "mlp_fc1_bias": False,
                   "mlp_fc2_bias": False, "rope_parameters": None, "hidden_size": None, "num_hidden_layers": None,
                   "num_attention_heads": None, "intermediate_size": None, "max_position_embeddings": None,
                   "layer_norm_eps": None, "hidden_act": None}
    if name == "phi3-longrope":  # as Phi-4-mini's config.json says it
        changes = {"rope_parameters": None, "partial_rotary_factor": 0.75, "rope_theta": 10000.0, "rope_scaling": {
            "type": "longrope", "short_factor": [1.0, 1.25], "long_factor": [1.5, 4.0]}}
    if name == "qwen2-window":  # as older configurations say it
        changes = {"layer_types": None}
    if name in MISSING:
        drop, put = MISSING[name]
        changes = {**{k: None for k in drop}, **put}
    save(os.path.join(path, "model.safetensors"), tensors, torch.float16)
    write_config(model, path, **changes)
    no_tokenizer(path)
    out = {}
    {"decoder": decoder, "encoder": encoder, "encdec": encdec}[kind](out, model, torch.Generator().manual_seed(seed))
    save(os.path.join(path, "expected.safetensors"), out)
    nll = f"loss {out['loss'].item():.3f}" if "loss" in out else ""
    size = sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path))
    print(f"{name}: {size // 1024} kB {nll} {out.get('greedy.ids', torch.zeros(0)).tolist()}")
    assert size < 150_000


def check(name):
    """Loads the folder as anybody would and compares its longest row, in float32."""
    path = os.path.join(HERE, "families", name)
    with open(os.path.join(path, "config.json")) as f:
        model_class = getattr(tf, json.load(f)["architectures"][0])
    model = model_class.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    want = load_file(os.path.join(path, "expected.safetensors"))
    a, b = want["off"][2:4].tolist()
    ids = want["ids"][a:b].long()[None]
    with torch.no_grad():
        if "target" in want:
            t0, t1 = want["target_off"][2:4].tolist()
            got = model(input_ids=ids, labels=want["target"][t0:t1].long()[None]).loss * (t1 - t0)
        elif "label" in want:
            got, _ = nll_rows(model(ids).logits[0], want["label"][a:b].long())
        else:
            error = (model(ids).last_hidden_state[0] - want["hidden.last"][a:b]).abs().max()
            assert error < 2e-5, (name, error)
            return
    assert abs(got - want["nll"][2]) < 1e-6 * want["nll"][2], (name, got, want["nll"][2])


def main():
    only = sys.argv[1:]
    for i, (name, (config, model_class, kind, *more)) in enumerate(FAMILIES.items()):
        if not only or name in only:
            write(name, 100 + 2 * i, config, kind, model_class, *more)
            if name != "nomic-bert-published":  # whose configuration only its own code reads
                check(name)


if __name__ == "__main__":
    sys.exit(main())
