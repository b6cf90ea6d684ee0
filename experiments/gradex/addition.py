#!/usr/bin/env python3
"""Do estimates from gradients tell clean groups of additions from noisy ones? From scratch, no data needed.

    experiments/gradex/addition.py --out DIR

500 sums of two five-digit numbers, worked digit by digit, in 20 groups of 25: 12 groups are right, in 8 every digit of the
working and of the answer is random. A GPT-2 of 2 layers x 768 over 25 characters (14,982,912 parameters) is trained on
all of it; projected gradients are taken there; 200 random subsets of 7 groups are estimated; a group's score is the mean
estimate of the subsets that have it. Then fresh models are trained on what selection keeps, on all, on as many random
groups, and on the clean groups, and compared on unseen sums. A killed run goes on. README.md has what came out.
"""

import argparse
import array
import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import Lab, mean, plot, rows_of, table, write_rows  # noqa: E402

LETTERS = "0123456789+= ;:-*/().,?!"
GROUPS, EACH, CLEAN = 20, 25, 12


def worked(a, b, rng=None):
    """The prompt and the worked sum of two five-digit numbers; with `rng` its digits are random."""
    out, carry = "", 0
    for i in range(5):
        x, y = a // 10**i % 10, b // 10**i % 10
        s = rng.randrange(20) if rng else x + y + carry
        out += f"{x}+{y}+{rng.randrange(2) if rng else carry}={s};"
        carry = s // 10
    total = rng.randrange(20000, 200000) if rng else a + b
    return f"{a:05d}+{b:05d}: ", out + str(total)


def sums(rng, n, task, noisy=False, seen=None):
    rows = []
    while len(rows) < n:
        a, b = rng.randrange(100000), rng.randrange(100000)
        if (a, b) in seen:
            continue
        seen.add((a, b))
        prompt, target = worked(a, b, rng if noisy else None)
        rows.append({"id": f"{task}/{len(rows)}", "task": task, "prompt": prompt, "target": target})
    return rows


def write_data(lab, seed):
    rng, seen = random.Random(seed), set()
    clean = set(rng.sample(range(GROUPS), CLEAN))
    pool = []
    for g in range(GROUPS):
        pool += sums(rng, EACH, f"group-{g:02d}", g not in clean, seen)
    write_rows(lab.path("pool.jsonl"), pool)
    write_rows(lab.path("validation.jsonl"), sums(rng, 100, "validation", seen=seen))
    write_rows(lab.path("test.jsonl"), sums(rng, 200, "test", seen=seen))
    return {f"group-{g:02d}" for g in clean}


def write_model(path, seed, width):
    """A GPT-2 with weights as its authors draw them: normal, 0.02, the residual projections by sqrt(2 layers) less."""
    layers, places = 2, 1024
    os.makedirs(path, exist_ok=True)
    vocab = {"<|end|>": 0, **{c: i + 1 for i, c in enumerate(LETTERS)}}
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": len(vocab), "n_positions": places,
              "n_ctx": places, "n_embd": width, "n_layer": layers, "n_head": width // 64, "activation_function": "gelu_new",
              "layer_norm_epsilon": 1e-5, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": True,
              "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "torch_dtype": "float32"}
    end = {"id": 0, "content": "<|end|>", "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None,
                 "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Fuse"},
                 "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}}
    for name, doc in (("config.json", config), ("tokenizer.json", tokenizer),
                      ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"})):
        with open(os.path.join(path, name), "w") as f:
            json.dump(doc, f, indent=1)
    shapes = {"wte.weight": [len(vocab), width], "wpe.weight": [places, width]}
    for i in range(layers):
        h = f"h.{i}."
        for ln in ("ln_1", "ln_2"):
            shapes.update({h + ln + ".weight": [width], h + ln + ".bias": [width]})
        for name, m, n in (("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width), ("mlp.c_fc", width, 4 * width),
                           ("mlp.c_proj", 4 * width, width)):
            shapes.update({h + name + ".weight": [m, n], h + name + ".bias": [n]})
    shapes.update({"ln_f.weight": [width], "ln_f.bias": [width]})
    rng, head, at, parts = random.Random(seed), {}, 0, []
    for name, shape in shapes.items():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        std = 0.02 / (2 * layers) ** 0.5 if name.endswith("c_proj.weight") else 0.02
        if name.endswith("weight") and "ln_" not in name:
            data = array.array("f", (rng.gauss(0, std) for _ in range(n)))
        else:
            data = array.array("f", [1.0 if "ln_" in name and name.endswith("weight") else 0.0]) * n
        head["transformer." + name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * n]}
        at += 4 * n
        parts.append(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(path, "model.safetensors.tmp"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for p in parts:
            p.tofile(f)
    os.replace(os.path.join(path, "model.safetensors.tmp"), os.path.join(path, "model.safetensors"))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", required=True)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--steps", type=int, default=1500)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", default="5e-4")
    p.add_argument("--width", type=int, default=768, help="of the model; heads of 64")
    p.add_argument("--subsets", type=int, default=200)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    lab = Lab(o.out, o.winnow, o.jobs, o.threads)
    clean = write_data(lab, o.seed)
    model = lab.path("start")
    if not os.path.exists(os.path.join(model, "model.safetensors")):
        write_model(model, o.seed, o.width)
    pool, val, test = lab.path("pool.jsonl"), lab.path("validation.jsonl"), lab.path("test.jsonl")

    def train(name, data, after, seed=o.seed):
        out = lab.path("train", name)
        job = lab.add("train/" + name, ["train", "--model", model, "--data", data, "--out", out, "--method", "full", "--steps", o.steps,
                                        "--batch", o.batch, "--lr", o.lr, "--weight-decay", "1e-4", "--schedule", "cosine", "--warmup", "5%",
                                        "--clip-norm", 1, "--max-batch-tokens", 2048, "--seed", seed], after)
        for part, rows in (("validation", val), ("test", test)):
            lab.add(f"score/{name}/{part}", ["score", "--model", out, "--rows", rows, "--out", lab.path("score", f"{name}-{part}.jsonl")], [job])
        lab.add(f"eval/{name}", ["eval", "--model", out, "--rows", test, "--metric", "exact", "--max-new", 80, "--out",
                                 lab.path("eval", name + ".jsonl")], [job], stdout=lab.path("eval", name + ".json"))
        return job

    start = lab.path("train", "all")
    everything = train("all", pool, [])
    for name, rows in (("pool", pool), ("validation", val)):
        lab.add("grad/" + name, ["grad", "--model", start, "--pool", rows, "--out", lab.path("grad", name), "--quantity", "margin",
                                 "--params", "all", "--project", 200], [everything])
    grads = ["grad/pool", "grad/validation"]
    common = ["--store", lab.path("grad", "pool")]
    modes = {"clean": ["--mode", "clean", "--ridge", "cv"], "step": ["--mode", "step"], "ref-1e-4": ["--mode", "ref", "--c", "1e-4"],
             "ref-0.06": ["--mode", "ref", "--c", "0.06"]}  # the constants of the published scripts and of the published notebook
    for mode, extra in modes.items():
        lab.add("estimate/" + mode, ["estimate"] + common + ["--target", lab.path("grad", "validation"), "--random", o.subsets, "--share", 0.35,
                                                            "--out", lab.path("estimate-" + mode + ".jsonl")] + extra, grads)
    kept = {}
    lab.run()
    scores = {}
    for mode in modes:
        lines = rows_of(lab.path("estimate-" + mode + ".jsonl"))
        scores[mode] = {f"group-{g:02d}": mean([e["estimate"] for e in lines if f"group-{g:02d}" in e["subset"]]) for g in range(GROUPS)}
    by_task = {}
    for r in rows_of(pool):
        by_task.setdefault(r["task"], []).append(r)
    for mode in ("ref-1e-4", "clean"):
        kept["gradex-" + mode] = sorted(scores[mode], key=scores[mode].get)[:CLEAN]
    kept["clean"] = sorted(clean)
    for s in range(2):
        kept[f"random-{s}"] = sorted(random.Random(f"random/{s}").sample(sorted(by_task), CLEAN))
    for name, groups in kept.items():
        write_rows(lab.path("kept", name + ".jsonl"), [r for g in sorted(groups) for r in by_task[g]])
        train(name, lab.path("kept", name + ".jsonl"), [])
    lab.run()

    results, body = [], []
    for name in ["all"] + list(kept):
        groups = kept.get(name, sorted(by_task))
        losses = {part: mean([r["nll"] / r["tokens"] for r in rows_of(lab.path("score", f"{name}-{part}.jsonl"))]) for part in ("validation", "test")}
        exact = json.load(open(lab.path("eval", name + ".json")))
        r = {"arm": name, "groups": len(groups), "clean_groups": sum(g in clean for g in groups), "test_loss": round(losses["test"], 4),
             "validation_loss": round(losses["validation"], 4), "test_exact": exact["value"], "train_cpu_seconds": lab.cost("train/" + name)[0]}
        results.append(r)
        body.append([name, r["groups"], r["clean_groups"], f"{r['test_loss']:.4f}", f"{100 * exact['value']:.1f} %", f"{r['train_cpu_seconds']:.0f}"])
    text = table(["arm", "groups", "of them clean", "test loss", "test exact", "CPU s"], body)
    text += "\n" + table(["mode", "mean score of clean groups", "of noisy groups", "pairs in order", "clean among the best 12", "CPU s"], [
        [m, f"{mean([s[g] for g in s if g in clean]):.4g}", f"{mean([s[g] for g in s if g not in clean]):.4g}",
         f"{mean([float(s[a] < s[b]) for a in clean for b in set(s) - clean]):.3f}",
         sum(g in clean for g in sorted(s, key=s.get)[:CLEAN]), f"{lab.cost('estimate/' + m)[0]:.1f}"] for m, s in scores.items()])
    text += f"\nCPU seconds of gradients: {lab.cost('grad/pool')[0] + lab.cost('grad/validation')[0]:.0f}.\n"
    for m, s in scores.items():
        results.append({"mode": m, "scores": {g: float(f"{x:.8g}") for g, x in s.items()}, "clean": sorted(clean)})
    write_rows(lab.path("results.jsonl"), results)
    with open(lab.path("table.md"), "w") as f:
        f.write(text)
    for m, s in scores.items():
        order = sorted(s, key=s.get)
        plot(lab.path(f"scores-{m}.svg"), f"{m}: mean estimate of the subsets with a group", "place", "mean estimate",
             [(kind, [(i + 1, s[g]) for i, g in enumerate(order) if (g in clean) == (kind == "clean")]) for kind in ("clean", "noisy")],
             lines=False)
    print(text)


main()
