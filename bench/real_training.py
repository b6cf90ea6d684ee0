"""A whole fine-tuning beside transformers + PEFT: the same initial LoRA adapter, rows in the same order, no dropout, float32.

    python bench/real_training.py --model FOLDER --train TRAIN.jsonl --test TEST.jsonl --out DIR [--updates 100] [--batch 4]

FOLDER is a Hugging Face folder of a decoder-only model; rows have choices. Both sides train with AdamW, a linear schedule with
warm-up and clipping by norm, and rank the choices of the test rows before and after, the peer with code of its own. Prints JSON
lines: the two loss curves at some updates, how far apart they are at most and at the end, the accuracies, how many answers are
the same, and how far the trained factors are apart. DIR keeps both adapters and both curves."""
import argparse
import json
import os
import subprocess
import sys
import time

from common import read_rows, report

LR, WARMUP, CLIP, RANK, ALPHA = 3e-4, 6, 1.0, 8, 16


def encode(tok, prompt, target):
    gap = "" if prompt[-1:].isspace() or target[:1].isspace() else " "
    return tok(prompt)["input_ids"], tok(gap + target, add_special_tokens=False)["input_ids"] + [tok.eos_token_id]


def losses(model, pairs):
    """Summed -log p of each pair's target and its number of tokens."""
    import torch
    width = max(len(p) + len(t) for p, t in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, (p, t) in enumerate(pairs):
        n = len(p) + len(t)
        ids[i, :n], mask[i, :n], labels[i, len(p):n] = torch.tensor(p + t), 1, torch.tensor(t)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none", ignore_index=-100)
    return nll.sum(1), (labels[:, 1:] >= 0).sum(1)


def answers(tok, model, rows):
    import torch
    model.eval()
    best = []
    with torch.no_grad():
        for r in rows:
            nll, _ = losses(model, [encode(tok, r["prompt"], c) for c in r["choices"]])
            best.append(r["choices"][int(nll.argmin())])
    model.train()
    return best


def train_peer(model, tok, rows, a):
    import torch
    from transformers import get_linear_schedule_with_warmup
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=LR, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(opt, WARMUP, a.updates)
    pairs, curve = [encode(tok, r["prompt"], r["target"]) for r in rows], []
    for u in range(a.updates):
        nll, n = losses(model, [pairs[(u * a.batch + i) % len(pairs)] for i in range(a.batch)])
        loss = (nll / n).mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, CLIP)
        opt.step()
        schedule.step()
        curve.append(loss.item())
    return curve


def winnow_train(a, init, out):
    subprocess.run([a.winnow, "train", "--model", a.model, "--adapter", init, "--data", a.train, "--steps", str(a.updates),
                    "--batch", str(a.batch), "--lr", str(LR), "--warmup", str(WARMUP), "--clip-norm", str(CLIP), "--shuffle",
                    "no", "--schedule", "linear", "--precision", "f32", "--out", out, "--overwrite", "--quiet"], check=True)
    return [x["loss"] for x in read_rows(os.path.join(out, "train.jsonl"))]


def winnow_answers(a, adapter):
    out = os.path.join(a.out, "answers.jsonl")
    more = ["--adapter", adapter] if adapter else []
    subprocess.run([a.winnow, "eval", "--model", a.model, "--rows", a.test, "--precision", "f32", "--out", out, "--overwrite",
                    "--quiet", *more], check=True, stdout=subprocess.DEVNULL)
    return [r["prediction"] for r in read_rows(out)]


def apart(one, two):
    """Norm of the difference of all factors over the norm of the second's."""
    from safetensors.torch import load_file
    x, y = (load_file(os.path.join(d, "adapter_model.safetensors")) for d in (one, two))
    assert x.keys() == y.keys()
    return (sum(float((x[k].float() - y[k].float()).norm()) ** 2 for k in x) /
            sum(float(y[k].float().norm()) ** 2 for k in y)) ** 0.5


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--train", required=True)
    p.add_argument("--test", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--updates", type=int, default=100)
    p.add_argument("--batch", type=int, default=4)
    a = p.parse_args()
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.manual_seed(0)
    rows, test = read_rows(a.train), read_rows(a.test)
    init, ours, theirs = (os.path.join(a.out, n) for n in ("init", "winnow", "peft"))
    tok = AutoTokenizer.from_pretrained(a.model)
    base = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", lora_dropout=0.0,
                                            task_type="CAUSAL_LM"))
    model.save_pretrained(init)
    said = {"winnow before": winnow_answers(a, None), "peft before": answers(tok, model, test)}
    start = time.time()
    mine = winnow_train(a, init, ours)
    took = [time.time() - start]
    start = time.time()
    curve = train_peer(model, tok, rows, a)
    took.append(time.time() - start)
    model.save_pretrained(theirs)
    said["winnow after"], said["peft after"] = winnow_answers(a, ours), answers(tok, model, test)
    back = PeftModel.from_pretrained(model.unload(), ours)
    said["winnow's adapter in peft"] = answers(tok, back, test)
    with open(os.path.join(a.out, "peft.curve.json"), "w", encoding="ascii") as f:
        json.dump(curve, f)
    for u in sorted(u for u in {0, 1, 2, 4, 9, a.updates - 1} | set(range(19, a.updates, 20)) if u < a.updates):
        report(update=u + 1, winnow=round(mine[u], 6), peft=round(curve[u], 6))
    off = [abs(x - y) / y for x, y in zip(mine, curve)]
    report(updates=a.updates, largest_relative_difference=max(off), at_update=off.index(max(off)) + 1, median=sorted(off)[len(off) // 2],
           last_ten=[sum(c[-10:]) / 10 for c in (mine, curve)], factors_apart=apart(ours, theirs), seconds=took)
    right = {k: sum(x == r["target"] for x, r in zip(v, test)) / len(test) for k, v in said.items()}
    report(accuracy=right, rows=len(test), same_before=sum(map(str.__eq__, said["winnow before"], said["peft before"])),
           same_after=sum(map(str.__eq__, said["winnow after"], said["peft after"])))


if __name__ == "__main__":
    sys.exit(main())
