"""Writes tests/goldens/training/expected.safetensors: ten updates of every method, optimizer and schedule, each on at least one of
five tiny models of families/ and models/, by PyTorch, transformers and PEFT in float64. See README.md, "training"."""

import copy
import math
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from models_common import HERE, f32, fresh, i32, save

import torch
import transformers as tf
from peft import IA3Config, LoraConfig, get_peft_model
from transformers.optimization import Adafactor

STEPS, BATCH, ROWS = 10, 3, 6
MODELS = {
    "llama": ("models/llama-tiny", tf.LlamaForCausalLM),
    "gemma3": ("families/gemma3-text", tf.Gemma3ForCausalLM),
    "gpt2": ("families/gpt2", tf.GPT2LMHeadModel),
    "t5": ("families/t5-v1.1", tf.T5ForConditionalGeneration),
    "opt": ("families/opt-post-norm", tf.OPTForCausalLM),
}


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            b1, b2 = g["betas"]
            for p in g["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = (b1 * m + (1 - b1) * p.grad).sign()
                p.mul_(1 - g["lr"] * g["weight_decay"]).sub_(g["lr"] * update)
                m.mul_(b2).add_(p.grad, alpha=1 - b2)


# name: model, method, optimizer, options of both, schedule, how gradients are clipped, the loss
CASES = {
    # DEFT's stage: value clamp, slanted triangular
    "t5.full.adam": dict(opt="adam", lr=1e-3, schedule=("slanted", 0.3, 8.0), clip_value=0.05),
    "t5.full.adafactor": dict(opt="adafactor", lr=None, relative_step=True, warmup_init=True, schedule=("constant",)),
    # DEFT's few-shot stage
    "t5.ia3.adafactor": dict(opt="adafactor", lr=3e-3, schedule=("linear", 2), clip_norm=1.0, targets=["k", "v", "wi_1"],
                             feedforward=[]),
    "t5.lora.sgd": dict(opt="sgd", lr=1e-2, momentum=0.9, weight_decay=0.01, schedule=("linear", 0), clip_norm=1.0),
    "llama.full.lion": dict(opt="lion", lr=1e-4, weight_decay=0.1, schedule=("constant",)),
    "llama.full.sgd": dict(opt="sgd", lr=1e-2, schedule=("slanted", 0.1, 32.0), clip_norm=2.0),
    "llama.full.token": dict(opt="adamw", lr=1e-3, schedule=("constant",), loss_mean="token"),
    "llama.lora.adamw": dict(opt="adamw", lr=2e-3, betas=(0.8, 0.95), eps=1e-6, schedule=("cosine", 3), rslora=True),
    "llama.ia3.adamw": dict(opt="adamw", lr=5e-2, weight_decay=0.1, schedule=("linear", 2)),
    "gemma3.full.sgd": dict(opt="sgd", lr=3e-3, momentum=0.8, nesterov=True, weight_decay=0.05, schedule=("cosine", 0)),
    "gemma3.lora.adafactor": dict(opt="adafactor", lr=1e-1, beta1=0.9, decay_rate=0.7, clip_threshold=0.5, plain_scale=True,
                                  weight_decay=0.1, schedule=("linear", 0)),
    "gemma3.ia3.lion": dict(opt="lion", lr=2e-2, betas=(0.85, 0.9), schedule=("constant",)),
    "gpt2.full.adafactor": dict(opt="adafactor", lr=1e-2, weight_decay=0.1, schedule=("linear", 2),
                                frozen=("c_attn.bias",)),
    # a key's bias changes no probability: its gradient is rounding, which Adam would blow up
    "gpt2.frozen.adamw": dict(opt="adamw", lr=1e-2, schedule=("linear", 0), frozen=("wte", "h.0", "ln_f", "c_attn.bias")),
    "gpt2.lora.adam": dict(opt="adam", lr=1e-2, eps=1e-3, weight_decay=0.05, schedule=("constant",), bias="all",
                           targets=["c_attn", "mlp.c_proj"]),
    "gpt2.ia3.sgd": dict(opt="sgd", lr=5e-2, schedule=("linear", 0)),
    "t5.ia3.tfew": dict(opt="adafactor", lr=3e-3, schedule=("constant",), loss="t-few"),
    "t5.full.tfew": dict(opt="adamw", lr=1e-3, schedule=("constant",), loss="t-few", loss_mean="token"),
    "llama.lora.tfew": dict(opt="adamw", lr=1e-2, schedule=("constant",), loss="t-few"),
    # layers outside of the stack: the projections around narrow token vectors, the output matrix
    "opt.lora.adamw": dict(opt="adamw", lr=5e-3, weight_decay=0.1, schedule=("linear", 2), clip_norm=1.0),
    "opt.ia3.sgd": dict(opt="sgd", lr=1e-2, schedule=("constant",), targets=["project_in", "project_out", "v_proj"],
                        feedforward=["project_out"]),
    "llama.lora.output": dict(opt="adamw", lr=2e-3, schedule=("constant",), targets=["lm_head", "q_proj"]),
}


def factor(schedule, t):
    kind = schedule[0]
    if kind == "constant":
        return 1.0
    if kind == "slanted":
        cut = math.floor(schedule[1] * STEPS)
        p = t / cut if t < cut else 1 - (t - cut) / (STEPS - cut)
        return (1 + p * (schedule[2] - 1)) / schedule[2]
    model = torch.nn.Parameter(torch.zeros(1))
    opt = torch.optim.SGD([model], lr=1.0)
    make = tf.get_linear_schedule_with_warmup if kind == "linear" else tf.get_cosine_schedule_with_warmup
    sched = make(opt, schedule[1], STEPS)
    for _ in range(t):
        opt.step()
        sched.step()
    return sched.get_last_lr()[0]


def rows(gen, vocab):
    """(prompt, texts, answer): three texts a row, none like another."""
    draw = lambda n: torch.randint(2, vocab, (n,), generator=gen).tolist()
    size = lambda lo, hi: int(torch.randint(lo, hi + 1, (1,), generator=gen))
    out = []
    for _ in range(ROWS):
        out.append((draw(size(2, 7)), [draw(size(1, 4)) for _ in range(3)], size(0, 2)))
    return out


def token_nll(model, prompt, text):
    if model.config.is_encoder_decoder:
        logits = model(input_ids=torch.tensor([prompt]), labels=torch.tensor([text])).logits[0]
    else:
        logits = model(torch.tensor([prompt + text])).logits[0, len(prompt) - 1:-1]
    return -torch.log_softmax(logits, -1)[torch.arange(len(text)), torch.tensor(text)]


def batch_loss(model, batch, case):
    token = case.get("loss_mean") == "token"
    gold = sum(len(texts[a]) for _, texts, a in batch)
    wrong = sum(len(t) for _, texts, a in batch for i, t in enumerate(texts) if i != a)
    loss = 0
    for prompt, texts, answer in batch:
        nll = [token_nll(model, prompt, t) if i == answer or case.get("loss") == "t-few" else None
               for i, t in enumerate(texts)]
        loss = loss + (nll[answer].sum() / gold if token else nll[answer].mean() / len(batch))
        if case.get("loss") == "t-few":
            scores = torch.stack([-n.mean() for n in nll])
            loss = loss - torch.log_softmax(scores, -1)[answer] / len(batch)
            rest = torch.cat([n for i, n in enumerate(nll) if i != answer])
            unlikely = -torch.log(1 - torch.exp(-rest) + 0.01)
            loss = loss + (unlikely.sum() / wrong if token else unlikely.mean() / len(batch))
    return loss


def adapted(model, method, case, seed):
    enc = model.config.is_encoder_decoder
    task = "SEQ_2_SEQ_LM" if enc else "CAUSAL_LM"
    if method == "lora":
        config = LoraConfig(r=3, lora_alpha=7, target_modules=case.get("targets", "all-linear"), lora_dropout=0.0,
                            use_rslora=case.get("rslora", False), bias=case.get("bias", "none"), task_type=task)
    else:
        kind = model.config.model_type
        usual = {"t5": (["k", "v", "wo"], ["wo"]), "gpt2": (["c_attn", "mlp.c_proj"], ["mlp.c_proj"])}
        targets, ff = usual.get(kind, (["k_proj", "v_proj", "down_proj"], ["down_proj"]))
        config = IA3Config(target_modules=case.get("targets", targets), feedforward_modules=case.get("feedforward", ff),
                           task_type=task)
    peft = get_peft_model(model, config, autocast_adapter_dtype=False)
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for n, p in peft.named_parameters():
            if "lora_" in n or "ia3_l" in n:
                r = torch.randn(p.shape, generator=gen, dtype=torch.float64)
                p.copy_((r * (0.7 / p.shape[-1] ** 0.5) if "lora_" in n else 1 + 0.2 * r).to(torch.float32))
    return peft


def short(name):
    """As winnow names it: PEFT's names without the adapter's, wrapped layers without their wrapping."""
    name = name.replace(".default", "").replace(".base_layer", "")
    if "lora_" in name or "ia3_l" in name:
        return name
    return name.removeprefix("base_model.model.")


def groups(named, decay):
    spares = lambda n, p: "lora_" not in n and "ia3_l" not in n and p.dim() == 1
    return [{"params": [p for n, p in named if not spares(n, p)], "weight_decay": decay},
            {"params": [p for n, p in named if spares(n, p)], "weight_decay": 0.0}]


def optimizer(named, case):
    g, lr = groups(named, case.get("weight_decay", 0.0)), case["lr"]
    kind = case["opt"]
    if kind in ("adam", "adamw"):
        make = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
        return make(g, lr=lr, betas=case.get("betas", (0.9, 0.999)), eps=case.get("eps", 1e-8))
    if kind == "sgd":
        return torch.optim.SGD(g, lr=lr, momentum=case.get("momentum", 0.0), nesterov=case.get("nesterov", False))
    if kind == "lion":
        return Lion(g, lr=lr, betas=case.get("betas", (0.9, 0.99)))
    return Adafactor(g, lr=lr, scale_parameter=not case.get("plain_scale", False),
                     relative_step=case.get("relative_step", False), warmup_init=case.get("warmup_init", False),
                     beta1=case.get("beta1"), decay_rate=-case.get("decay_rate", 0.8),
                     clip_threshold=case.get("clip_threshold", 1.0))


def run(out, name, base, data, case, seed):
    family, method, _ = name.split(".")
    model = copy.deepcopy(base)
    if method in ("lora", "ia3"):
        model = adapted(model, method, case, seed)
    for n, p in model.named_parameters() if "frozen" in case else ():
        p.requires_grad = not any(("." + f + ".") in ("." + n + ".") for f in case["frozen"])
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if method in ("lora", "ia3"):
        for n, p in named:
            if "lora_" in n or "ia3_l" in n:
                out[f"{name}.init.{short(n)}"] = f32(p)
    opt = optimizer(named, case)
    losses, norms = [], []
    for t in range(STEPS):
        at = BATCH * t % ROWS
        opt.zero_grad()
        loss = batch_loss(model, data[at:at + BATCH], case)
        loss.backward()
        losses.append(loss.detach())
        norms.append(torch.sqrt(sum((p.grad ** 2).sum() for _, p in named)))
        if "clip_norm" in case:
            torch.nn.utils.clip_grad_norm_([p for _, p in named], case["clip_norm"])
        if "clip_value" in case:
            torch.nn.utils.clip_grad_value_([p for _, p in named], case["clip_value"])
        for g in opt.param_groups:
            if g["lr"] is not None:
                g["lr"] = case["lr"] * factor(case["schedule"], t)
        opt.step()
    out[f"{name}.loss"], out[f"{name}.norm"] = f32(torch.stack(losses)), f32(torch.stack(norms))
    for n, p in named:
        out[f"{name}.value.{short(n)}"] = f32(p)


def main():
    path, out = fresh("training"), {}
    for i, (family, (folder, kind)) in enumerate(MODELS.items()):
        base = kind.from_pretrained(os.path.join(HERE, folder), dtype=torch.float64, attn_implementation="eager").eval()
        data = rows(torch.Generator().manual_seed(500 + i), base.config.vocab_size)
        flat = lambda lists: i32([x for one in lists for x in one])
        out[f"{family}.prompt"] = flat(p for p, _, _ in data)
        out[f"{family}.prompt_n"] = i32([len(p) for p, _, _ in data])
        out[f"{family}.text"] = flat(t for _, texts, _ in data for t in texts)
        out[f"{family}.text_n"] = i32([len(t) for _, texts, _ in data for t in texts])
        out[f"{family}.answer"] = i32([a for _, _, a in data])
        for k, (name, case) in enumerate(CASES.items()):
            if name.split(".")[0] == family:
                run(out, name, base, data, case, 600 + k)
                print(name, [round(float(x), 4) for x in out[f"{name}.loss"]])
    save(os.path.join(path, "expected.safetensors"), out)


if __name__ == "__main__":
    sys.exit(main())
