"""Writes tests/goldens/sentences/: tiny sentence-transformers folders of every shape that winnow reads, and the
vectors that sentence-transformers makes of rows.jsonl with them, in float64.

Run by hand, output committed:  python3 tests/goldens/sentences.py
FOLDER/expected.safetensors holds `default` (no prompt asked for), `prompt.NAME` for each of the folder's own
prompts and `text` (the prompt TEXT below), each [rows, width].
"""
import json
import os

from models_common import HERE, checkpoint, exact, f32, fresh, randomize, save, write_config, write_json, write_jsonl

import torch
import transformers as tf
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = "Represent the sentence: "
ROWS = [
    "a short text", ".", "One sentence that is far too long for the limit of the folder, because it goes on and on, and on, "
    "and on, and then on again until nobody remembers how it began, and on, and on.", "Привет, мир! Καλημέρα κόσμε",
    "query: what is a query?", "UPPER and lower, Straße", "  blanks   everywhere \n", "日本語の文です。", "one two three four five",
    "a", "numbers 12345 and 3.14", "the river carries a lantern"]
LEARN = ROWS + [TEXT, "query: passage: instruct: task: search result title: none text: document", "represent represented"] * 3
ROOT = "sentence_transformers."
OLD = {k: ROOT + "models." + k for k in ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize")}
NEW = {"Transformer": ROOT + "base.modules.transformer.Transformer", "Dense": ROOT + "base.modules.dense.Dense",
       "Pooling": ROOT + "sentence_transformer.modules.pooling.Pooling",
       "LayerNorm": ROOT + "sentence_transformer.modules.layer_norm.LayerNorm",
       "Normalize": ROOT + "base.modules.normalize.Normalize"}


def wordpiece(lower):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(LEARN + [x.lower() for x in LEARN], trainers.WordPieceTrainer(
        vocab_size=220, show_progress=False, special_tokens=names))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t, dict(tokenizer_class="BertTokenizerFast", do_lower_case=lower, unk_token="[UNK]", sep_token="[SEP]",
                   pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]", model_max_length=30)


def unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.NFKC(), pre_tokenizers.Metaspace(), decoders.Metaspace()
    t.train_from_iterator(LEARN, trainers.UnigramTrainer(vocab_size=200, show_progress=False, unk_token="<unk>",
                                                         special_tokens=["<pad>", "</s>", "<unk>"]))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return t, dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
                   model_max_length=512)


def byte_bpe(single, **names):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = [AddedToken(x, special=True) for x in ("<|endoftext|>", "<bos>", "<eos>", "<pad>")]
    t.train_from_iterator(LEARN, trainers.BpeTrainer(vocab_size=330, show_progress=False, special_tokens=special,
                                                     initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single=single, special_tokens=[(x, t.token_to_id(x)) for x in ("<|endoftext|>", "<bos>", "<eos>")])])
    return t, dict(tokenizer_class="PreTrainedTokenizerFast", **names)


def bert(vocab, **kw):
    return tf.BertModel(tf.BertConfig(**dict(dict(
        vocab_size=vocab, hidden_size=20, num_attention_heads=2, num_hidden_layers=2, intermediate_size=22,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), **kw)),
        add_pooling_layer=False)


def t5(vocab, proj):
    return tf.T5EncoderModel(tf.T5Config(vocab_size=vocab, d_model=18, d_kv=5, num_heads=3, d_ff=22, num_layers=2,
                                         relative_attention_num_buckets=8, relative_attention_max_distance=14,
                                         dropout_rate=0.0, feed_forward_proj=proj, pad_token_id=0, eos_token_id=1,
                                         decoder_start_token_id=0))


def decoder_like(vocab, **kw):
    return dict(dict(vocab_size=vocab, hidden_size=20, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                     intermediate_size=22, num_hidden_layers=2, max_position_embeddings=96, rms_norm_eps=1e-5,
                     tie_word_embeddings=True, pad_token_id=3, bos_token_id=1, eos_token_id=0), **kw)


def pooling(**kw):
    return "Pooling", dict(word_embedding_dimension=kw.pop("width", 20), **kw), {}


def legacy(*on, **kw):
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return pooling(**{"pooling_mode_" + n: n in on for n in names}, **kw)


def dense(gen, n_in, n_out, act, bias=True, **kw):
    w = {"linear.weight": exact(torch.randn(n_out, n_in, generator=gen) * n_in ** -0.5)}
    if bias:
        w["linear.bias"] = exact(torch.randn(n_out, generator=gen) * 0.3)
    if kw.get("use_residual") and n_in != n_out:
        w["residual.weight"] = exact(torch.randn(n_out, n_in, generator=gen) * n_in ** -0.5)
    return "Dense", dict(in_features=n_in, out_features=n_out, bias=bias, activation_function=act, **kw), w


def layer_norm(gen, n):
    return "LayerNorm", dict(dimension=n), {"norm.weight": exact(1 + 0.3 * torch.randn(n, generator=gen)),
                                            "norm.bias": exact(0.3 * torch.randn(n, generator=gen))}


NORMALIZE = ("Normalize", None, {})
IDENTITY, TANH = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Tanh"


def write(name, seed, tokenizer, model, parts, names=OLD, limits=None, prompts=None, default=None, inner=""):
    path = fresh("sentences", name)
    home = os.path.join(path, inner)
    os.makedirs(home, exist_ok=True)
    t, facts = tokenizer
    t.save(os.path.join(home, "tokenizer.json"))
    write_json(os.path.join(home, "tokenizer_config.json"), facts)
    randomize(model.double(), seed).eval()
    save(os.path.join(home, "model.safetensors"), checkpoint(model), torch.float16)
    write_config(model, home)
    if limits is not None:
        write_json(os.path.join(home, "sentence_bert_config.json"), limits)
    modules = [{"idx": 0, "name": "0", "path": inner, "type": names["Transformer"]}]
    for i, (kind, config, weights) in enumerate(parts):
        folder = f"{i + 1}_{kind}"
        modules.append({"idx": i + 1, "name": str(i + 1), "path": folder, "type": names[kind]})
        if config is None:
            continue
        os.makedirs(os.path.join(path, folder))
        write_json(os.path.join(path, folder, "config.json"), config)
        if weights:
            save_file({k: v.to(torch.float32).contiguous() for k, v in weights.items()},
                      os.path.join(path, folder, "model.safetensors"))
    write_json(os.path.join(path, "modules.json"), modules)
    if prompts is not None:
        write_json(os.path.join(path, "config_sentence_transformers.json"), {"prompts": prompts, "default_prompt_name": default})
    s = SentenceTransformer(path, device="cpu", model_kwargs={"dtype": torch.float64}).double()
    encode = lambda **kw: f32(torch.stack([s.encode(x, convert_to_tensor=True, **kw) for x in ROWS]))
    out = {"default": encode(), "text": encode(prompt=TEXT)}
    for p in prompts or {}:
        out["prompt." + p] = encode(prompt_name=p)
    save(os.path.join(path, "expected.safetensors"), out)
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(path) for f in fs)
    print(f"{name}: {size // 1024} kB, {tuple(out['default'].shape)}")
    assert size < 100_000 and all(torch.isfinite(x).all() for x in out.values())


def main():
    gen = torch.Generator().manual_seed(5)
    fresh("sentences")
    write_jsonl(os.path.join(HERE, "sentences", "rows.jsonl"), [{"id": f"r{i}", "prompt": x} for i, x in enumerate(ROWS)])
    t = wordpiece(True)
    n = t[0].get_vocab_size()
    write("e5", 1, t, bert(n), [legacy("mean_tokens"), NORMALIZE], limits={"max_seq_length": 40, "do_lower_case": False},
          prompts={"query": "query: ", "passage": "passage: "})
    write("gte", 2, t, bert(n, hidden_act="gelu_new"), [pooling(pooling_mode="mean"), NORMALIZE], names=NEW)
    t = wordpiece(False)
    write("bge", 3, t, bert(t[0].get_vocab_size()), [legacy("cls_token"), NORMALIZE],
          limits={"max_seq_length": 16, "do_lower_case": True}, prompts={"query": TEXT}, default=None)
    write("everything", 4, t, bert(t[0].get_vocab_size()), [
        legacy("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken",
               include_prompt=False), layer_norm(gen, 120), NORMALIZE, dense(gen, 120, 7, "torch.nn.modules.activation.GELU",
                                                                             use_residual=True),
        dense(gen, 7, 7, "torch.nn.modules.activation.SiLU", use_residual=True),
        dense(gen, 7, 13, "torch.nn.modules.activation.Sigmoid"), dense(gen, 13, 9, "torch.nn.modules.activation.ReLU")],
        limits={"max_seq_length": 30}, prompts={"usual": "query: ", "none": ""}, default="usual", inner="0_Transformer")
    write("order", 5, t, bert(t[0].get_vocab_size()), [pooling(pooling_mode=["weightedmean", "max", "cls"], include_prompt=False),
                                                       dense(gen, 60, 11, TANH)], names=NEW)
    t = unigram()
    n = t[0].get_vocab_size()
    write("gtr-t5", 6, t, t5(n, "relu"), [legacy("mean_tokens", width=18), dense(gen, 18, 15, IDENTITY, False), NORMALIZE],
          limits={"max_seq_length": 25, "do_lower_case": False})
    write("sentence-t5", 7, t, t5(n, "gated-gelu"), [legacy("mean_tokens", width=18), dense(gen, 18, 18, TANH), NORMALIZE],
          limits={"max_seq_length": 256, "do_lower_case": False})
    t = byte_bpe("$A <|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>", padding_side="left", model_max_length=70)
    n = t[0].get_vocab_size()
    write("qwen3-embedding", 8, t, tf.Qwen3Model(tf.Qwen3Config(**decoder_like(n))), [legacy("lasttoken"), NORMALIZE],
          prompts={"query": "Instruct: find\nQuery:", "document": ""})
    t = byte_bpe("<bos> $A <eos>", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", model_max_length=60)
    n = t[0].get_vocab_size()
    gemma = tf.Gemma3TextModel(tf.Gemma3TextConfig(**decoder_like(
        n, query_pre_attn_scalar=9, sliding_window=9, num_hidden_layers=3, use_bidirectional_attention=True,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"])))
    gemma.embed_spread, gemma.gain_offset = 0.08, True
    write("embedding-gemma", 9, t, gemma, [legacy("mean_tokens"), dense(gen, 20, 31, IDENTITY, False),
                                           dense(gen, 31, 20, IDENTITY, False), NORMALIZE], names=NEW,
          limits={"max_seq_length": 50}, prompts={"query": "task: search result | query: ", "document": "title: none | text: "})


if __name__ == "__main__":
    main()
