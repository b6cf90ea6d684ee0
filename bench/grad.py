#!/usr/bin/env python3
"""Per-example gradients of LoRA factors, winnow beside a PyTorch loop as GradEx's code has it: one row at a time, autograd, a dense
projection matrix. Prints one JSON line: tokens/s of each, and winnow's over the better of PyTorch in float32 and bfloat16.

    bench/grad.py WINNOW MODEL ROWS.jsonl [--d 100] [--rows 120] [--peer-rows 16] [--peers f32,bf16] [--threads N]

MODEL: a Hugging Face folder, or a .gguf file. ROWS: winnow rows with prompt and target. Needs torch, transformers, peft and, for a
file, gguf. winnow's time is that of the command on all rows less that on one row, so that reading the model does not count;
PyTorch's is that of its loop behind a first row."""

import argparse
import json
import os
import subprocess
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

arg = argparse.ArgumentParser()
arg.add_argument("winnow")
arg.add_argument("model")
arg.add_argument("rows")
arg.add_argument("--d", type=int, default=100)
arg.add_argument("--rows", dest="n", type=int, default=120)
arg.add_argument("--peer-rows", type=int, default=16)
arg.add_argument("--peers", default="f32,bf16")
arg.add_argument("--threads", type=int, default=os.cpu_count())
o = arg.parse_args()
torch.set_num_threads(o.threads)

with open(o.rows) as f:
    rows = [json.loads(line) for _, line in zip(range(o.n), f)]
folder, name = os.path.split(os.path.abspath(o.model)) if o.model.endswith(".gguf") else (o.model, None)
source = {"gguf_file": name} if name else {}
tokenizer = AutoTokenizer.from_pretrained(folder, **source)


def ids(row):
    """Prompt and target as winnow joins them; the number of target tokens."""
    between = "" if row["prompt"][-1:].isspace() or row["target"][:1].isspace() else " "
    target = tokenizer.encode(between + row["target"], add_special_tokens=False) + [tokenizer.eos_token_id]
    prompt = tokenizer.encode(row["prompt"])
    return torch.tensor([prompt + target]), len(target)


encoded = [ids(r) for r in rows]


def winnow(precision):
    def seconds(some, out):
        path = os.path.join(scratch, "rows.jsonl")
        with open(path, "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in some)
        start = time.perf_counter()
        subprocess.run([o.winnow, "grad", "--model", o.model, "--rank", "8", "--targets", "q_proj,v_proj", "--pool", path,
                        "--quantity", "margin", "--project", str(o.d), "--precision", precision, "--threads",
                        str(o.threads), "--quiet", "--out", os.path.join(scratch, out)], check=True)
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as scratch:
        one = seconds(rows[:1], "one")
        return sum(x.shape[1] for x, _ in encoded[1:]) / (seconds(rows, "all") - one)


def peer(dtype):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **source).to(dtype)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])).eval()
    params = [p for p in model.parameters() if p.requires_grad]
    p = sum(x.numel() for x in params)
    P = (torch.randint(0, 2, (p, o.d), dtype=torch.int8) * 2 - 1).to(torch.float32) / o.d ** 0.5

    def row(x, n):
        z = model(x).logits[0, -n - 1:-1].float()
        y = x[0, -n:]
        own = z[torch.arange(n), y]
        f = (own - torch.logsumexp(z.scatter(1, y[:, None], float("-inf")), -1)).mean()
        g = torch.cat([v.flatten() for v in torch.autograd.grad(f, params)])
        return g.float() @ P

    row(*encoded[0])
    tokens, start = 0, time.perf_counter()
    for x, n in encoded[1:1 + o.peer_rows]:
        row(x, n)
        tokens += x.shape[1]
    return tokens / (time.perf_counter() - start)


result = {"rows": len(rows), "tokens": sum(x.shape[1] for x, _ in encoded), "d": o.d, "threads": o.threads}
result["winnow f32"], result["winnow auto"] = winnow("f32"), winnow("auto")
peers = {"f32": torch.float32, "bf16": torch.bfloat16}
result.update({f"torch {p}": peer(peers[p]) for p in o.peers.split(",")})
best = max(v for k, v in result.items() if k.startswith("torch"))
result["ratio"] = max(result["winnow f32"], result["winnow auto"]) / best
print(json.dumps({k: round(v, 2) for k, v in result.items()}))
