"""Writes tests/goldens/models/: tiny random Llama and BERT models and what PyTorch, transformers and PEFT
compute with them. References run in float64 and are stored as float32. See README.md."""

import copy
import json
import os
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

from models_common import (checkpoint, exact, f32, fresh, i32, nll_rows, offsets, ragged, randomize, save,
                           some_labels, unique, write_config, write_json, write_jsonl)

import gguf
import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel, LlamaConfig,
                          LlamaForCausalLM, get_linear_schedule_with_warmup)

ROWS = [
    ("Is water wet?", "yes"),
    ("Capital of France:", "Paris"),
    ("Translate to French: the cat\n", "le chat"),
    ("Add 12 and 30.", " 42"),
    ("Opposite of 'cold'", "hot"),
    ("Naïve café, übermäßig — 東京 👍🏽", "ok 1999"),
    ("The quick brown fox jumps over the lazy", "dog"),
    ("x", "a longer answer than the question was"),
    ("Which word means a small river? ", "stream"),
]
RANKED = [
    ("Is ice warm?", ["yes", "no", "maybe"], 1),
    ("The sun rises in the", ["east", "west", "north", "south"], 0),
    ("Two plus two is\n", ["3", "four", "22"], 1),
    ("Plural of mouse:", ["mouses", "mice", "mouse", " meese"], 1),
]
TEXTS = [
    "The quick brown fox.", "a", "Naïve café — übermäßig!", "Running, jumped and 12 walkers unaffable",
    "One sentence that is far too long for the limit of the folder, because it goes on and on, and on, "
    "and then on again until the tokens that are left cannot be counted on two hands, or on ten.",
    "東京 tokyo", "hello world hello world hello",
]


def corpus():
    words = ("the a of and to in is was for on that with as at by from river stream north south east west "
             "cat chat dog fox lazy quick brown small word means answer question capital France Paris one two "
             "three four plural mouse mice water ice sun rises warm cold hot translate add 12 30 42 1999 "
             "running jumped walkers unaffable hello world sentence limit tokens").split()
    gen = np.random.default_rng(5)
    lines = [" ".join(gen.choice(words, 9)) + "." for _ in range(200)]
    lines += [p + " " + t for p, t in ROWS] * 3 + [p + " " + " ".join(c) for p, c, _ in RANKED] * 3
    return lines + TEXTS * 2


# ---- tokenizers ---------------------------------------------------------------------------------

def bpe(path, bos):
    """Byte-level BPE as SmolLM2 has it (digits alone, then the GPT-2 pattern); bos: put <|bos|> in front."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    special = ["<|bos|>", "<|eos|>"]
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=301, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if bos:
        t.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", 0)])
    t.save(os.path.join(path, "tokenizer.json"))
    write_json(os.path.join(path, "tokenizer_config.json"), {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|eos|>",
        "add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": 64})
    return t


def wordpiece(path):
    """The trainer's ties fall by hash order, so the vocabulary is put together here: letters, pieces, words."""
    norm = normalizers.BertNormalizer(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer()
    seen = {}
    for line in corpus():
        for w, _ in split.pre_tokenize_str(norm.normalize_str(line)):
            seen[w] = seen.get(w, 0) + 1
    letters = sorted({c for w in seen for c in w} - set("京👍"))
    pieces = ["##" + c for c in letters if c.isalnum()] + ["##ing", "##ed", "##er", "##ers", "##able", "##ff"]
    words = sorted((w for w in seen if len(w) > 1 and w not in ("jumped", "unaffable", "walkers")),
                   key=lambda w: (-seen[w], w))
    parts = sorted({w[:3] for w in words} | {"##" + w[-n:] for w in words for n in (2, 3)})
    vocab = list(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters + pieces
                               + ["un", "walk"] + words + parts))[:299]
    assert len(vocab) == 299 == len(set(vocab)), len(vocab)
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer, t.decoder = norm, split, decoders.WordPiece()
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", t.token_to_id("[CLS]")), ("[SEP]", t.token_to_id("[SEP]"))])
    t.save(os.path.join(path, "tokenizer.json"))
    write_json(os.path.join(path, "tokenizer_config.json"), {
        "tokenizer_class": "BertTokenizer", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]",
        "unk_token": "[UNK]", "mask_token": "[MASK]", "do_lower_case": True, "model_max_length": 64})
    return t


def encode_row(t, prompt, target):
    """cli.md: prompt and target apart; one space before the target unless there is white space already."""
    if target and not prompt[-1:].isspace() and not target[0].isspace():
        target = " " + target
    head = t.encode(prompt).ids  # with the post-processor's BOS, if it has one
    tail = t.encode(target, add_special_tokens=False).ids + [t.token_to_id("<|eos|>")]
    return head, tail


# ---- references ---------------------------------------------------------------------------------

def shifted(head, tail):
    """ids and labels of one example: the label stands at the position that predicts it."""
    ids = head + tail
    return ids, [-1] * (len(head) - 1) + tail + [-1]


def run(model, ids):
    """Hidden states behind every layer (the last one before the final norm), normed state, logits."""
    raw = {}
    layers = model.get_decoder().layers
    hooks = [layer.register_forward_hook(lambda m, a, o, i=i: raw.__setitem__(i, o if torch.is_tensor(o) else o[0]))
             for i, layer in enumerate(layers)]
    out = model(torch.tensor([ids]), output_hidden_states=True, use_cache=False)
    for h in hooks:
        h.remove()
    return [raw[i][0] for i in range(len(layers))], out.hidden_states[-1][0], out.logits[0]


def put_batches(out, model, gen, vocab):
    for k, lengths in enumerate(([5, 1, 12, 8], [37], [17, 2, 9, 1])):
        ids = ragged(gen, lengths, vocab)
        labels = some_labels(gen, ids, vocab, 0.3)
        layers, last, logits, nll, count = [], [], [], [], []
        with torch.no_grad():
            for row, lab in zip(ids, labels):
                lab = torch.tensor(lab)
                h, n, z = run(model, row)
                layers.append(h)
                last.append(n)
                logits.append(z[lab >= 0])
                s, c = nll_rows(z, lab)
                nll.append(s)
                count.append(c)
        b = f"batch.{k}."
        out[b + "ids"], out[b + "off"] = i32(sum(ids, [])), offsets(ids)
        out[b + "label"] = i32(sum(labels, []))
        for i in range(len(layers[0])):
            out[b + f"hidden.{i + 1}"] = f32(torch.cat([h[i] for h in layers]))
        out[b + "hidden.last"] = f32(torch.cat(last))
        if k == 0:
            out[b + "logits"] = f32(torch.cat(logits))
        out[b + "nll"], out[b + "count"] = f32(torch.stack(nll)), i32(count)


def example_loss(model, head, tail):
    ids, labels = shifted(head, tail)
    z = model(torch.tensor([ids]), use_cache=False).logits[0]
    s, n = nll_rows(z, torch.tensor(labels))
    return s, n


def batch_loss(model, rows):
    return sum(s / n for s, n in (example_loss(model, *r) for r in rows)) / len(rows)


def gradients(model, loss, rename=lambda n: n):
    params = {n: p for n, p in unique(model).items() if p.requires_grad}
    g = torch.autograd.grad(loss, list(params.values()))
    return {rename(n): f32(x) for n, x in zip(params, g)}


def put_rows(out, model, rows):
    out["rows.prompt"], out["rows.prompt_off"] = i32(sum((h for h, _ in rows), [])), offsets([h for h, _ in rows])
    out["rows.target"], out["rows.target_off"] = i32(sum((t for _, t in rows), [])), offsets([t for _, t in rows])
    with torch.no_grad():
        nll = [example_loss(model, *r) for r in rows]
    out["rows.nll"], out["rows.count"] = f32(torch.stack([s for s, _ in nll])), i32([n for _, n in nll])


def put_gradients(out, prefix, model, rows, examples, rename=lambda n: n):
    loss = batch_loss(model, rows)
    out[prefix + "loss"] = f32(loss).reshape(1)
    for n, g in gradients(model, loss, rename).items():
        out[prefix + "grad." + n] = g
    for i in examples:
        s, c = example_loss(model, *rows[i])
        for n, g in gradients(model, s / c, rename).items():
            out[prefix + f"example.{i}.grad." + n] = g


def put_steps(out, prefix, model, rows, lr, decay, rename=lambda n: n):
    """Ten updates of AdamW: batches of three rows in order, linear schedule with two updates of warm-up,
    clipped to norm 1. decay(name): whether weight decay applies."""
    params = {n: p for n, p in unique(model).items() if p.requires_grad}
    opt = torch.optim.AdamW([{"params": [p for n, p in params.items() if decay(n)], "weight_decay": 0.01},
                             {"params": [p for n, p in params.items() if not decay(n)], "weight_decay": 0.0}],
                            lr=lr, betas=(0.9, 0.999), eps=1e-8)
    plan = get_linear_schedule_with_warmup(opt, 2, 10)
    losses, rates, norms = [], [], []
    for step in range(10):
        at = (3 * step) % len(rows)
        loss = batch_loss(model, rows[at:at + 3])
        opt.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(params.values(), 1.0))
        rates.append(plan.get_last_lr()[0])
        opt.step()
        plan.step()
        losses.append(loss)
    out[prefix + "loss"], out[prefix + "lr"] = f32(torch.stack(losses)), torch.tensor(rates, dtype=torch.float32)
    out[prefix + "norm"] = f32(torch.stack(norms))
    for n, p in params.items():
        out[prefix + "value." + rename(n)] = f32(p)


def put_rank(out, model, t):
    nll, count, choices = [], [], []
    with torch.no_grad():
        for prompt, texts, _ in RANKED:
            choices.append(len(texts))
            for c in texts:
                s, n = example_loss(model, *encode_row(t, prompt, c))
                nll.append(s)
                count.append(n)
    out["rank.choices"], out["rank.count"], out["rank.nll"] = i32(choices), i32(count), f32(torch.stack(nll))


def with_lora(model, seed, path, base):
    """LoRA on every linear layer but the head, B random too; writes the adapter as PEFT does."""
    lora = get_peft_model(copy.deepcopy(model), LoraConfig(r=3, lora_alpha=7, target_modules="all-linear",
                                                           lora_dropout=0.0, task_type="CAUSAL_LM"),
                          autocast_adapter_dtype=False)
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for n, p in lora.named_parameters():
            if p.requires_grad:
                r = torch.randn(p.shape, generator=gen, dtype=torch.float64)
                p.copy_(r.mul(0.7 / p.shape[-1] ** 0.5).to(torch.float32))
    lora.peft_config["default"].base_model_name_or_path = base
    with tempfile.TemporaryDirectory() as tmp:
        copy.deepcopy(lora).float().save_pretrained(tmp)
        os.makedirs(path)
        shutil.copy(os.path.join(tmp, "adapter_model.safetensors"), path)
        with open(os.path.join(tmp, "adapter_config.json")) as f:
            c = json.load(f)
        c["target_modules"].sort()  # a set in PEFT, so of no fixed order
        write_json(os.path.join(path, "adapter_config.json"), c)
    return lora


def peft_name(n):
    return n.replace(".default.weight", ".weight")


# ---- folders ------------------------------------------------------------------------------------

def llama(name, seed, bos, steps, config, flat_rope, dtype):
    path = fresh("models", name)
    t = bpe(path, bos)
    model = randomize(LlamaForCausalLM(config).double(), seed).eval()
    save(os.path.join(path, "model.safetensors"), checkpoint(model), dtype)
    # Two spellings of the rotary base are in use: rope_theta alone (before transformers 5) and rope_parameters.
    write_config(model, path, **({"rope_parameters": None, "rope_theta": 100000.0} if flat_rope else {}))
    gen = torch.Generator().manual_seed(seed + 1)
    rows = [encode_row(t, *r) for r in ROWS]
    out = {}
    put_batches(out, model, gen, config.vocab_size)
    put_rows(out, model, rows)
    put_rank(out, model, t)
    put_gradients(out, "full.", model, rows, ())
    lora = with_lora(model, seed + 2, os.path.join(path, "adapter"), name)
    put_gradients(out, "lora.", lora, rows, range(3) if steps else (), peft_name)
    if steps:
        put_steps(out, "lora_steps.", lora, rows, 1e-2, lambda n: True, peft_name)
        put_steps(out, "full_steps.", copy.deepcopy(model), rows, 1e-3,
                  lambda n: "norm" not in n and "bias" not in n)
        out["greedy.prompt"] = i32(rows[1][0])
        ids = list(rows[1][0])
        with torch.no_grad():
            for _ in range(16):
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        out["greedy.ids"] = i32(ids[len(rows[1][0]):])
    save(os.path.join(path, "expected.safetensors"), out)
    return model, t


def variant(source, name, dtype, shards):
    """The same weights (all of them exact in the narrow types) as dtype, in one file or in shards."""
    path = fresh("models", name)
    base = os.path.join(os.path.dirname(path), source)
    for f in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(base, f), path)
    w = load_file(os.path.join(base, "model.safetensors"))
    if shards == 1:
        save(os.path.join(path, "model.safetensors"), w, dtype)
        return
    names, where = sorted(w), {}
    for i in range(shards):
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        save(os.path.join(path, file), {n: w[n] for n in part}, dtype)
        where.update({n: file for n in part})
    size = sum(x.numel() for x in w.values()) * torch.empty(0, dtype=dtype).element_size()
    write_json(os.path.join(path, "model.safetensors.index.json"),
               {"metadata": {"total_size": size}, "weight_map": where})


def permuted(w, heads):
    """llama.cpp keeps q and k rows of its architecture llama in interleaved rotary order."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
              "post_attention_layernorm": "ffn_norm"}


def gguf_name(n):
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}
    if n in top:
        return top[n]
    _, _, i, rest = n.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{i}.{GGUF_NAMES[stem]}.{kind}"


def write_gguf(path, model, t, kinds):
    """As llama.cpp's converter writes it. kinds(name, rows, cols): quantisation, F32 for vectors."""
    c = model.config
    d = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    w = gguf.GGUFWriter(path, "llama")
    w.add_name("tiny")
    w.add_vocab_size(c.vocab_size)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(d)
    if d * c.num_attention_heads != c.hidden_size:
        w.add_key_length(d)
        w.add_value_length(d)
    vocab = t.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types([gguf.TokenType.CONTROL if x.startswith("<|") else gguf.TokenType.NORMAL for x in tokens])
    merges = json.loads(t.to_str())["model"]["merges"]
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    w.add_bos_token_id(vocab["<|bos|>"])
    w.add_eos_token_id(vocab["<|eos|>"])
    w.add_add_bos_token(False)
    w.add_add_space_prefix(False)
    used = {}
    for n, x in checkpoint(model).items():
        x = x.numpy()
        if "q_proj" in n or "k_proj" in n:
            x = permuted(x, c.num_attention_heads if "q_proj" in n else c.num_key_value_heads)
        kind = kinds(n) if x.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(np.ascontiguousarray(x), kind)
        w.add_tensor(gguf_name(n), data, raw_dtype=kind)
        used[n] = gguf.quants.dequantize(data, kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return used


def quantised(t):
    """A model whose widths fit blocks of 32; a quantisation for each kind of matrix. The references are computed
    with the weights as they read back."""
    path = fresh("models", "llama-quant")
    config = LlamaConfig(vocab_size=301, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                         intermediate_size=96, num_hidden_layers=2, max_position_embeddings=64,
                         rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
                         tie_word_embeddings=False, bos_token_id=0, eos_token_id=1)
    model = randomize(LlamaForCausalLM(config).double(), 31).eval()
    q = gguf.GGMLQuantizationType
    kinds = {"embed_tokens": q.Q8_0, "lm_head": q.Q8_0, "q_proj": q.Q4_1, "k_proj": q.Q5_0, "v_proj": q.Q5_1,
             "o_proj": q.Q4_0, "gate_proj": q.Q8_0, "up_proj": q.F16, "down_proj": q.BF16}
    used = write_gguf(os.path.join(path, "model.gguf"), model, t,
                      lambda n: next(k for s, k in kinds.items() if s in n))
    params = unique(model)
    with torch.no_grad():
        for n, x in used.items():
            heads = {"q_proj": 4, "k_proj": 2}.get(n.split(".")[-2])
            if heads:  # back from the interleaved order
                x = x.reshape(heads, x.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(x.shape)
            params[n].copy_(torch.from_numpy(np.ascontiguousarray(x)).double().reshape(params[n].shape))
    out = {}
    put_batches(out, model, torch.Generator().manual_seed(32), config.vocab_size)
    put_rows(out, model, [encode_row(t, *r) for r in ROWS])
    save(os.path.join(path, "expected.safetensors"), out)


def bert():
    path = fresh("models", "bert-tiny")
    t = wordpiece(path)
    config = BertConfig(vocab_size=299, hidden_size=40, num_attention_heads=4, num_hidden_layers=3,
                        intermediate_size=52, max_position_embeddings=64, type_vocab_size=2,
                        layer_norm_eps=1e-12, hidden_act="gelu")
    model = randomize(BertModel(config, add_pooling_layer=False).double(), 41).eval()
    save(os.path.join(path, "model.safetensors"), checkpoint(model), torch.bfloat16)
    write_config(model, path)
    gen = torch.Generator().manual_seed(42)
    out = {}
    for k, lengths in enumerate(([5, 1, 12, 8], [37], [17, 2, 9, 1])):
        ids = ragged(gen, lengths, config.vocab_size)
        put_encoder(out, f"batch.{k}.", model, ids)
    save(os.path.join(path, "expected.safetensors"), out)
    sentence(path, model, t)


def put_encoder(out, b, model, ids):
    with torch.no_grad():
        states = [model(torch.tensor([row]), output_hidden_states=True).hidden_states for row in ids]
    out[b + "ids"], out[b + "off"] = i32(sum(ids, [])), offsets(ids)
    for i in range(1, len(states[0])):
        out[b + f"hidden.{i}"] = f32(torch.cat([s[i][0] for s in states]))
    return [s[-1][0] for s in states]


def sentence(base, model, t):
    """A sentence-transformers folder around bert-tiny: mean pooling, length one, at most 32 tokens."""
    path = fresh("models", "sentence-tiny")
    for f in ("config.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(base, f), path)
    save(os.path.join(path, "model.safetensors"), checkpoint(model), torch.float16)
    # Real folders carry truncation and padding in tokenizer.json; both must be ignored.
    full = Tokenizer.from_str(t.to_str())
    full.enable_truncation(16)
    full.enable_padding(length=16)
    full.save(os.path.join(path, "tokenizer.json"))
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write_json(os.path.join(path, "modules.json"), [
        {"idx": i, "name": str(i), "path": p, "type": "sentence_transformers.models." + n}
        for i, (p, n) in enumerate(kinds)])
    os.makedirs(os.path.join(path, "1_Pooling"))
    write_json(os.path.join(path, "1_Pooling", "config.json"), {
        "word_embedding_dimension": 40, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    write_json(os.path.join(path, "sentence_bert_config.json"), {"max_seq_length": 32, "do_lower_case": False})
    cut = Tokenizer.from_str(t.to_str())
    cut.enable_truncation(32)
    ids = [cut.encode(x).ids for x in TEXTS]
    assert max(map(len, ids)) == 32
    out = {}
    last = put_encoder(out, "texts.", model, ids)
    mean = torch.stack([h.mean(0) for h in last])
    out["texts.mean"] = f32(mean)
    out["texts.cls"] = f32(torch.stack([h[0] for h in last]))
    out["texts.last"] = f32(torch.stack([h[-1] for h in last]))
    # SGPT's weights: position / sum of positions
    out["texts.weighted"] = f32(torch.stack([
        (h * torch.arange(1, len(h) + 1)[:, None]).sum(0) / (len(h) * (len(h) + 1) / 2) for h in last]))
    out["texts.embedding"] = f32(mean / mean.norm(dim=1, keepdim=True))
    save(os.path.join(path, "expected.safetensors"), out)


def check(root):
    """Reads the folders back with the libraries they are meant for and compares with what was written."""
    from sentence_transformers import SentenceTransformer  # slow to import, used here only
    want = load_file(os.path.join(root, "llama-tiny", "expected.safetensors"))
    rows = [json.loads(x) for x in open(os.path.join(root, "rows.jsonl"))]
    for name in ("llama-tiny", "llama-tiny-bf16", "llama-tiny-f16-sharded"):
        m = AutoModelForCausalLM.from_pretrained(os.path.join(root, name), dtype=torch.float32)
        z = m.model(want["batch.1.ids"].long()[None])
        err = (z.last_hidden_state[0] - want["batch.1.hidden.last"]).abs().max()
        print(f"{name}: largest difference of hidden states {err:.1e}")
        assert err < 1e-4
    m = AutoModelForCausalLM.from_pretrained(os.path.join(root, "llama-tiny"), dtype=torch.float32)
    p = PeftModel.from_pretrained(m, os.path.join(root, "llama-tiny", "adapter"))
    t = AutoTokenizer.from_pretrained(os.path.join(root, "llama-tiny"))
    loss = 0
    for i, r in enumerate(rows):
        a, b = want["rows.prompt_off"][i:i + 2].tolist()
        assert t(r["prompt"])["input_ids"] == want["rows.prompt"][a:b].tolist()
        a, b = want["rows.target_off"][i:i + 2].tolist()
        head, tail = t(r["prompt"])["input_ids"], want["rows.target"][a:b].tolist()
        labels = torch.tensor([[-100] * len(head) + tail])
        loss += p(input_ids=torch.tensor([head + tail]), labels=labels).loss / len(rows)
    print(f"adapter: loss {loss:.6f}, written {want['lora.loss'].item():.6f}")
    assert abs(loss - want["lora.loss"].item()) < 1e-4 * loss
    s = SentenceTransformer(os.path.join(root, "sentence-tiny"), device="cpu",
                            model_kwargs={"dtype": torch.float32})
    e = torch.tensor(s.encode(TEXTS))
    err = (e - load_file(os.path.join(root, "sentence-tiny", "expected.safetensors"))["texts.embedding"]).abs().max()
    print(f"sentence-tiny: largest difference of embeddings {err:.1e}")
    assert err < 1e-5


def main():
    root = fresh("models")
    write_jsonl(os.path.join(root, "rows.jsonl"),
                [{"id": f"r{i}", "task": "odd" if i % 2 else "even", "prompt": p, "target": t}
                 for i, (p, t) in enumerate(ROWS)])
    write_jsonl(os.path.join(root, "rank.jsonl"),
                [{"id": f"c{i}", "task": "rank", "prompt": p, "target": c[a], "choices": c}
                 for i, (p, c, a) in enumerate(RANKED)])
    write_jsonl(os.path.join(root, "texts.jsonl"),
                [{"id": f"t{i}", "task": "text", "prompt": x, "target": "x"} for i, x in enumerate(TEXTS)])
    tiny, t = llama("llama-tiny", 11, False, True, LlamaConfig(
        vocab_size=301, hidden_size=36, num_attention_heads=6, num_key_value_heads=2, intermediate_size=52,
        num_hidden_layers=2, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0}, bos_token_id=0, eos_token_id=1), True, torch.float32)
    variant("llama-tiny", "llama-tiny-bf16", torch.bfloat16, 1)
    variant("llama-tiny", "llama-tiny-f16-sharded", torch.float16, 2)
    path = fresh("models", "llama-tiny-gguf")
    write_gguf(os.path.join(path, "model.gguf"), tiny, t, lambda n: gguf.GGMLQuantizationType.F32 if "k_proj" in n else gguf.GGMLQuantizationType.F16)
    quantised(t)
    llama("llama-untied", 21, True, False, LlamaConfig(
        vocab_size=301, hidden_size=40, num_attention_heads=4, num_key_value_heads=1, head_dim=6,
        intermediate_size=52, num_hidden_layers=3, max_position_embeddings=64, rms_norm_eps=1e-6,
        attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, bos_token_id=0, eos_token_id=1), False, torch.float16)
    bert()
    check(root)


if __name__ == "__main__":
    sys.exit(main())
