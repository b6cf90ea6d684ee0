"""Writes tests/goldens/gradients.safetensors: what PyTorch's autograd says of single examples' gradients, for the tiny models of
models.py and families.py, and NumPy's random signs. See README.md."""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from models_common import HERE, f32, i32, save, unique

import numpy as np
import torch
import transformers as tf
from safetensors.torch import load_file

# name: (folder, prefix of its batch in expected.safetensors)
MODELS = {
    "llama": ("models/llama-tiny", "batch.0."),
    "gpt2": ("families/gpt2", ""),
    "t5": ("families/t5-v1.0", ""),
    "mt5": ("families/mt5", ""),
    "gemma2": ("families/gemma2", ""),
    "gemma3": ("families/gemma3-text", ""),
}
QUANTITIES = ("loss", "margin", "margin-ref")


def value(quantity, logits, labels):
    """The mean over the labelled positions, as GradEx's code computes it where it clips."""
    at = (labels >= 0).nonzero().flatten()
    z, y = logits[at], labels[at]
    own = z[torch.arange(len(at)), y]
    if quantity == "loss":
        return -(own - torch.logsumexp(z, -1)).mean()
    if quantity == "margin":
        others = z.scatter(1, y[:, None], float("-inf"))
        return (own - torch.logsumexp(others, -1)).mean()
    p = torch.softmax(z, -1)[torch.arange(len(at)), y]
    clips.append(((p > 0.9).sum().item(), (p < 0.001).sum().item()))
    q = torch.where(p > 0.9, p - 0.01, torch.where(p < 0.001, p + 0.01, p))
    return torch.log(q / (1 - q)).mean()


clips = []


def sure(call, label):
    """Every second label becomes the likeliest token, so that some are near certain."""
    with torch.no_grad():
        best = call().argmax(-1)
    label = label.clone()
    at = (label >= 0).nonzero().flatten()[::2]
    label[at] = best[at]
    return label


def examples(model, want, prefix):
    """For every row a function from nothing to its logits, and its labels."""
    ids, off = want[prefix + "ids"].long(), want[prefix + "off"].tolist()
    for b in range(len(off) - 1):
        row = ids[off[b]:off[b + 1]][None]
        if prefix + "target" in want:
            t0, t1 = want["target_off"][b:b + 2].tolist()
            target = want["target"][t0:t1].long()
            start = torch.tensor([[model.config.decoder_start_token_id] + target[:-1].tolist()])
            call = lambda: model(input_ids=row, decoder_input_ids=start, use_cache=False).logits[0]
            yield call, sure(call, target)
        else:
            label = want[prefix + "label"][off[b]:off[b + 1]].long()
            call = lambda: model(row, use_cache=False).logits[0]
            yield call, sure(call, label)


def gradients(out, name, folder, prefix):
    path = os.path.join(HERE, folder)
    with open(os.path.join(path, "config.json")) as f:
        model_class = getattr(tf, json.load(f)["architectures"][0])
    model = model_class.from_pretrained(path, dtype=torch.float64, attn_implementation="eager").eval()
    want = load_file(os.path.join(path, "expected.safetensors"))
    params = unique(model)
    rows, values, labels = [], [], []
    for quantity in QUANTITIES:
        labels = []
        for i, (call, label) in enumerate(examples(model, want, prefix)):
            labels += label.tolist()
            f = value(quantity, call(), label)
            g = torch.autograd.grad(f, list(params.values()), allow_unused=True)
            g = [x if x is not None else torch.zeros_like(p) for x, p in zip(g, params.values())]
            rows.append(torch.cat([x.flatten() for x in g]))
            values.append(f)
            if i == 2 and quantity == "margin":  # one as it is
                for n, x in zip(params, g):
                    out[f"{name}.grad.{n}"] = f32(x)
    rows = torch.stack(rows)
    out[name + ".label"] = i32(labels)
    out[name + ".value"] = f32(torch.stack(values)).reshape(len(QUANTITIES), -1)
    out[name + ".gram"] = f32(rows @ rows.T)
    print(f"{name}: {rows.shape[1]} parameters, {rows.shape[0] // len(QUANTITIES)} examples, tokens clipped above and "
          f"below: {[sum(c) for c in zip(*clips)]}")
    clips.clear()


def signs(out):
    """P as a legacy generator draws it, and g P in float64."""
    gen = torch.Generator().manual_seed(5)
    g = torch.randn((3, 70), generator=gen, dtype=torch.float64).to(torch.float32)
    out["signs.g"] = g
    for seed in (0, 1234567):
        bits = np.random.RandomState(seed).randint(0, 2, size=(70, 11))
        raw = np.random.RandomState(seed)
        again = raw.randint(0, 2**32, size=(70, 11), dtype=np.uint32) & 1
        assert (bits == again).all()  # one 32-bit draw an entry, row-major, its lowest bit
        P = (2.0 * bits - 1) / np.sqrt(11)
        out[f"signs.{seed}.bits"] = i32(bits.tolist())
        out[f"signs.{seed}.projected"] = f32(torch.tensor(g.numpy().astype(np.float64) @ P))


def main():
    out = {}
    for name, (folder, prefix) in MODELS.items():
        gradients(out, name, folder, prefix)
    signs(out)
    path = os.path.join(HERE, "gradients.safetensors")
    save(path, out)
    print(f"{os.path.getsize(path) // 1024} kB")


if __name__ == "__main__":
    sys.exit(main())
