"""winnow train beside transformers + PEFT on the same rows in the same run: tokens/s and peak memory.

    python bench/train.py --model FOLDER --data ROWS.jsonl [--winnow build/winnow] [--method full|lora|both] [--updates 12]
        [--peers f32,bf16]

FOLDER is a Hugging Face folder of a decoder-only model. Rows with 20 to 250 tokens are used, in their order, eight an update,
AdamW, no dropout; the peer pads a batch to its longest row, and its better of float32 and bfloat16 counts. Both are given all
cores. Tokens are those of the rows, padding not counted; the first two updates are warm-up and not timed. Peak memory is the
process's largest resident set. Every run is a process of its own."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

BATCH, WARM = 8, 2


def rows_of(args):
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(args.model)
    out = []
    with open(args.data) as f:
        for line in f:
            r = json.loads(line)
            prompt = tok(r["prompt"])["input_ids"]
            gap = "" if r["prompt"][-1:].isspace() or r["target"][:1].isspace() else " "
            target = tok(gap + r["target"], add_special_tokens=False)["input_ids"] + [tok.eos_token_id]
            if 20 <= len(prompt) + len(target) <= 250:
                out.append((line, prompt, target))
            if len(out) == BATCH * args.updates:
                return out
    sys.exit(f"{args.data}: expected {BATCH * args.updates} rows of 20 to 250 tokens, found {len(out)}")


def peer(args):
    """One run of transformers (+ PEFT); prints tokens/s and MB."""
    import torch
    from transformers import AutoModelForCausalLM
    torch.manual_seed(0)
    dtype = torch.bfloat16 if args.peer.endswith("bf16") else torch.float32
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).train()
    if args.peer.startswith("lora"):
        from peft import LoraConfig, get_peft_model
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", lora_dropout=0.0,
                                                 task_type="CAUSAL_LM"))
    with open(args.rows) as f:
        rows = json.load(f)
    opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
    tokens, start, losses = 0, None, []
    for u in range(args.updates):
        if u == WARM:
            start, tokens = time.perf_counter(), 0
        batch = rows[u * BATCH:(u + 1) * BATCH]
        width = max(len(p) + len(t) for p, t in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for i, (p, t) in enumerate(batch):
            n = len(p) + len(t)
            ids[i, :n], mask[i, :n] = torch.tensor(p + t), 1
            labels[i, len(p):n] = torch.tensor(t)
            tokens += n
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none", ignore_index=-100)
        loss = (nll.sum(1) / (labels[:, 1:] >= 0).sum(1)).mean()
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    rate = tokens / (time.perf_counter() - start)
    print(json.dumps({"rate": rate, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "loss": losses}))


def run_peer(args, kind, rows):
    cmd = [sys.executable, os.path.abspath(__file__), "--peer", kind, "--rows", rows, "--model", args.model,
           "--updates", str(args.updates)]
    out = subprocess.run(cmd, check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def run_winnow(args, method, precision, data, folder):
    out = os.path.join(folder, f"{method}-{precision}")
    cmd = [args.winnow, "train", "--model", args.model, "--data", data, "--method", method, "--batch", str(BATCH),
           "--shuffle", "no", "--schedule", "constant", "--lr", "1e-4", "--precision", precision, "--out", out, "--quiet",
           "--save-every", "1000000"]
    with subprocess.Popen(cmd) as p:
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = status
    if status:
        sys.exit(f"winnow train failed with {status}")
    with open(os.path.join(out, "train.jsonl")) as f:
        log = [json.loads(line) for line in f]
    return {"rates": [x["tokens_per_sec"] for x in log], "mb": usage.ru_maxrss / 1024, "loss": [x["loss"] for x in log]}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", required=True)
    a.add_argument("--data")
    a.add_argument("--winnow", default="build/winnow")
    a.add_argument("--method", default="both")
    a.add_argument("--precision", default="auto")
    a.add_argument("--updates", type=int, default=12)
    a.add_argument("--peer")
    a.add_argument("--rows")
    a.add_argument("--peers", default="f32,bf16")
    args = a.parse_args()
    if args.peer:
        return peer(args)
    kept = rows_of(args)
    with tempfile.TemporaryDirectory() as folder:
        data, rows = os.path.join(folder, "rows.jsonl"), os.path.join(folder, "rows.json")
        with open(data, "w") as f:
            f.writelines(line for line, _, _ in kept)
        with open(rows, "w") as f:
            json.dump([(p, t) for _, p, t in kept], f)
        sizes = [sum(len(p) + len(t) for _, p, t in kept[u * BATCH:(u + 1) * BATCH]) for u in range(args.updates)]
        for method in ("full", "lora") if args.method == "both" else (args.method,):
            ours = run_winnow(args, method, args.precision, data, folder)
            theirs = {d: run_peer(args, f"{method}-{d}", rows) for d in args.peers.split(",")}
            seconds = sum(n / r for n, r in zip(sizes[WARM:], ours["rates"][WARM:]))
            rate, best = sum(sizes[WARM:]) / seconds, max(theirs.values(), key=lambda x: x["rate"])
            least = min(x["mb"] for x in theirs.values())
            print(f"{method}: winnow {rate:.0f} tokens/s, {ours['mb']:.0f} MB; transformers "
                  + ", ".join(f"{d} {x['rate']:.0f}, {x['mb']:.0f} MB" for d, x in theirs.items()) +
                  f": {rate / best['rate']:.2f} times their better, {ours['mb'] / least:.2f} of their smaller memory; loss of "
                  f"the last update {ours['loss'][-1]:.4f}, theirs " +
                  ", ".join(f"{x['loss'][-1]:.4f} ({d})" for d, x in theirs.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
