"""What models.py and families.py share: exact small numbers, tiny tokenizers, losses as winnow defines them."""

import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# This folder has a tokenizers.py of its own: keep it from hiding the package. Import this module first.
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE]

import numpy as np
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def exact(w):
    """Rounds to numbers that float32, float16 and bfloat16 all hold exactly."""
    w = w.to(torch.float32).to(torch.bfloat16).to(torch.float32)
    w = torch.where(w.abs() < 2.0**-14, torch.zeros_like(w), w)
    assert torch.equal(w, w.to(torch.float16).to(torch.float32))
    return w


def randomize(model, seed, spread=1.5):
    """Weights far larger than the usual initialisation, so that no output is near uniform: matrices
    spread / sqrt(fan-in), embeddings 0.4, norm gains about 1, biases 0.2."""
    gen = torch.Generator().manual_seed(seed)
    done = set()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.data_ptr() in done:
                continue
            done.add(p.data_ptr())
            r = torch.randn(p.shape, generator=gen, dtype=torch.float64)
            low = name.lower()
            if p.dim() == 1 and "bias" not in low:
                w = 1.0 + 0.25 * r
                if getattr(model, "gain_offset", False):
                    w = w - 1.0
            elif p.dim() == 1:
                w = 0.2 * r
            elif "relative_attention_bias" in low:
                w = 0.7 * r
            elif "embed" in low or "wte" in low or "wpe" in low or low.endswith("shared.weight"):
                w = getattr(model, "embed_spread", 0.4) * r
            else:
                w = spread * r / p.shape[-1] ** 0.5
            p.copy_(exact(w))
    return model


def unique(model):
    """Named parameters, tied ones once."""
    return dict(model.named_parameters())


def nll_rows(logits, labels):
    """logits [T, V], labels [T] with -1 for none: summed -log p and the number of labels."""
    at = (labels >= 0).nonzero().flatten()
    logp = torch.log_softmax(logits[at], -1)
    return -logp[torch.arange(len(at)), labels[at]].sum(), len(at)


def f32(t):
    return t.detach().to(torch.float32).contiguous().clone()


def i32(x):
    return torch.tensor(x, dtype=torch.int32)


def offsets(rows):
    return i32([0] + list(np.cumsum([len(r) for r in rows])))


def ragged(gen, lengths, vocab):
    return [torch.randint(0, vocab, (n,), generator=gen).tolist() for n in lengths]


def some_labels(gen, ids, vocab, share=0.4):
    """The next token at a share of the positions; behind a row's end any token. At least one a row."""
    out = []
    for row in ids:
        nxt = row[1:] + torch.randint(0, vocab, (1,), generator=gen).tolist()
        keep = torch.rand(len(row), generator=gen) < share
        keep[int(torch.randint(0, len(row), (1,), generator=gen))] = True
        out.append([t if k else -1 for t, k in zip(nxt, keep.tolist())])
    return out


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def write_jsonl(path, rows):
    with open(path, "w") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


def fresh(*parts):
    path = os.path.join(HERE, *parts)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def save(path, tensors, dtype=None):
    out = {}
    for k, v in tensors.items():
        out[k] = (v.to(dtype) if dtype is not None else v).contiguous()
    save_file(out, path, metadata={"format": "pt"})


def checkpoint(model):
    """The tensors that save_pretrained would write, tied ones once, in float32."""
    seen, out = set(), {}
    for k, v in model.state_dict().items():
        if k.endswith("inv_freq") or not v.is_floating_point() or v.data_ptr() in seen:
            continue
        seen.add(v.data_ptr())
        out[k] = f32(v)
    return out


def write_config(model, path, **changes):
    c = model.config.to_dict()
    for key in ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "id2label", "label2id",
                "output_hidden_states", "output_attentions", "return_dict", "chunk_size_feed_forward",
                "problem_type"):
        c.pop(key, None)
    c["architectures"] = [type(model).__name__]
    for k, v in changes.items():
        if v is None:
            c.pop(k, None)
        else:
            c[k] = v
    write_json(os.path.join(path, "config.json"), c)
