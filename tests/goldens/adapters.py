"""Writes tests/goldens/adapters/NAME: PEFT adapters of every kind that winnow loads, on the models of families/, and what PEFT
computes with them: losses, the gradient of every trained parameter, losses of the merged model. See README.md."""

import copy
import json
import os
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

from models_common import HERE, f32, fresh, i32, nll_rows, save, write_json

import peft
import torch
import transformers as tf
from safetensors.torch import load_file, save_file


def lora(**kw):
    return peft.LoraConfig(**dict(dict(r=3, lora_alpha=7, target_modules="all-linear", lora_dropout=0.0), **kw))


def ia3(targets, first, **kw):
    return peft.IA3Config(target_modules=targets, feedforward_modules=first, **kw)


# name: base in families/, config, whether it is put on the model without its head
ADAPTERS = {
    "ia3-mistral": ("mistral", ia3(["k_proj", "v_proj", "down_proj"], ["down_proj"]), False),
    "ia3-qwen2": ("qwen2", ia3(["q_proj", "o_proj", "v_proj", "up_proj"], ["up_proj"]), False),
    "ia3-gemma2": ("gemma2", ia3(["k_proj", "v_proj", "o_proj", "down_proj"], ["down_proj"]), False),
    "ia3-phi3": ("phi3", ia3(["qkv_proj", "gate_up_proj", "down_proj"], ["down_proj"]), False),
    "ia3-gpt2": ("gpt2", ia3(["c_attn", "mlp.c_proj"], ["mlp.c_proj"], fan_in_fan_out=True), False),
    "ia3-gpt-neo": ("gpt-neo", ia3(["q_proj", "v_proj", "c_proj"], ["c_proj"]), False),
    "ia3-gpt-neox": ("gpt-neox", ia3(["query_key_value", "dense_4h_to_h"], ["dense_4h_to_h"]), False),
    "ia3-opt": ("opt", ia3(["q_proj", "k_proj", "fc2"], ["fc2"]), False),
    "ia3-bloom": ("bloom", ia3(["query_key_value", "mlp.dense_4h_to_h"], ["mlp.dense_4h_to_h"]), False),
    "ia3-t5": ("t5-v1.1", ia3(["k", "v", "wo"], ["wo"]), False),
    "ia3-mt5": ("mt5", ia3(["k", "v", "wi_1"], []), False),
    "ia3-roberta": ("roberta", ia3(["key", "value", "output.dense"], ["output.dense"]), True),
    "ia3-olmo2": ("olmo2", ia3(".*layers\\.1.*(k_proj|down_proj)", ".*down_proj"), False),
    "lora-rslora": ("qwen2", lora(use_rslora=True, bias="lora_only", rank_pattern={"q_proj": 2, "^model.layers.1.*up_proj": 5},
                                  alpha_pattern={"layers.0.mlp.down_proj": 11.5, "k_proj": 3}), False),
    "lora-bias-all": ("gpt2", lora(bias="all", target_modules=["c_attn"], fan_in_fan_out=True), False),
    "lora-stack": ("smollm3", lora(target_modules=["q_proj", "down_proj"]), True),
    "lora-t5": ("t5-v1.0", lora(target_modules=["q", "v", "wi"], rank_pattern={"decoder.block.1.layer.1.EncDecAttention.q": 1}),
                False),
    "lora-gpt-neox": ("gpt-neox", lora(), False),
    "lora-bert": ("mpnet", lora(target_modules=["q", "attn.v", "intermediate.dense"], r=2), True),
    "lora-opt-projections": ("opt-post-norm", lora(r=2, rank_pattern={"project_out": 3}), False),
    "lora-opt-projections-only": ("opt-post-norm", lora(target_modules=["project_in", "project_out"], r=2), False),
    "ia3-opt-projections": ("opt-post-norm", ia3(["k_proj", "project_in", "project_out"], ["project_in"]), False),
    "ia3-opt-projections-in": ("opt-post-norm", ia3(["project_in", "project_out"], ["project_out"]), False),
    "lora-output": ("mistral", lora(target_modules=["lm_head", "v_proj"], r=2), False),
    "ia3-output": ("gpt-neox", ia3(["lm_head", "query_key_value"], []), False),
    "ia3-output-in": ("t5-v1.1", ia3(["lm_head", "EncDecAttention.o"], ["lm_head"]), False),
    "lora-output-tied": ("gpt2", lora(target_modules=["lm_head", "c_fc"], r=2, fan_in_fan_out=True), False),
    "lora-pooler": ("roberta", lora(r=2), True),
}


def base_of(name):
    path = os.path.join(HERE, "families", name)
    with open(os.path.join(path, "config.json")) as f:
        model_class = getattr(tf, json.load(f)["architectures"][0])
    return model_class.from_pretrained(path, dtype=torch.float64, attn_implementation="eager").eval()


def normal_name(n):
    """As winnow names it: PEFT's in its file for an adapter's own, the checkpoint's for a base's bias."""
    n = n.replace(".default", "").replace(".base_layer", "")
    return n.removeprefix("base_model.model.") if n.endswith(".bias") else n


def rows_of(want):
    off = want["off"].tolist()
    target = want["target_off"].tolist() if "target" in want else None
    for b in range(len(off) - 1):
        ids = want["ids"][off[b]:off[b + 1]].long()
        yield ids, (want["target"][target[b]:target[b + 1]].long() if target else
                    want["label"][off[b]:off[b + 1]].long())


def losses(model, want):
    sums, counts = [], []
    start = getattr(model.config, "decoder_start_token_id", None)
    for ids, label in rows_of(want):
        if "target" in want:
            before = torch.cat([torch.tensor([start]), label[:-1]])
            logits = model(input_ids=ids[None], decoder_input_ids=before[None], use_cache=False).logits[0]
        else:
            logits = model(input_ids=ids[None], use_cache=False).logits[0]
        s, c = nll_rows(logits, label)
        sums.append(s)
        counts.append(c)
    return sums, counts


def states(model, want):
    off = want["off"].tolist()
    rows = [want["ids"][a:b].long()[None] for a, b in zip(off, off[1:])]
    return torch.cat([model(input_ids=r).last_hidden_state[0] for r in rows])


def randomize(model, seed):
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if not p.requires_grad:
                continue
            r = torch.randn(p.shape, generator=gen, dtype=torch.float64)
            near = 1 + 0.5 * r if "ia3_l" in n else p + 0.3 * r if n.endswith("bias") else r * 0.7 / p.shape[-1] ** 0.5
            p.copy_(near.to(torch.float32))


def write(name, seed, base, config, bare):
    path = fresh("adapters", name)
    model = base_of(base)
    if bare and hasattr(model, "lm_head"):
        head, model = model, model.model
    else:
        head = None
    on = peft.get_peft_model(copy.deepcopy(model), config, autocast_adapter_dtype=False).eval()
    randomize(on, seed)
    on.peft_config["default"].base_model_name_or_path = "families/" + base
    with tempfile.TemporaryDirectory() as tmp:
        copy.deepcopy(on).float().save_pretrained(tmp)
        shutil.copy(os.path.join(tmp, "adapter_model.safetensors"), path)
        with open(os.path.join(tmp, "adapter_config.json")) as f:
            c = json.load(f)
        for key in ("target_modules", "feedforward_modules"):
            if isinstance(c.get(key), list):
                c[key].sort()  # a set in PEFT, so of no fixed order
        write_json(os.path.join(path, "adapter_config.json"), c)
    want = load_file(os.path.join(HERE, "families", base, "expected.safetensors"))
    out = {}
    # merged into a matrix that two layers share it would be another model
    head_layer = None if bare else model.get_output_embeddings()
    shared = ("lm_head" in config.target_modules and head_layer is not None
              and head_layer.weight is model.get_input_embeddings().weight)
    merged = None if shared else copy.deepcopy(on).merge_and_unload()
    if "label" not in want and "target" not in want:
        with torch.no_grad():
            out["hidden.last"], out["merged.hidden.last"] = f32(states(on, want)), f32(states(merged, want))
    else:
        if head is not None:
            # the bare stack's adapter, seen through the model that has the head
            head.model, whole = on.base_model.model, head
        else:
            whole = on
        params = {n: p for n, p in on.named_parameters() if p.requires_grad}
        sums, counts = losses(whole, want)
        loss = sum(s / c for s, c in zip(sums, counts)) / len(sums)
        out["nll"], out["count"], out["loss"] = f32(torch.stack(sums)), i32(counts), f32(loss).reshape(1)
        for (n, p), g in zip(params.items(), torch.autograd.grad(loss, list(params.values()))):
            out["grad." + ("base_model.model.model." + normal_name(n)[17:] if head is not None else normal_name(n))] = f32(g)
        if head is not None:
            head.model = merged
        if merged is None:
            return finish(path, name, out)
        with torch.no_grad():
            out["merged.nll"] = f32(torch.stack(losses(head if head is not None else merged, want)[0]))
    finish(path, name, out)


def finish(path, name, out):
    save(os.path.join(path, "expected.safetensors"), out)
    size = sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path))
    print(f"{name}: {size // 1024} kB, loss {out['loss'].item() if 'loss' in out else 0:.4f}, {len(out)} tensors")
    assert size < 100_000


def check(name, base):
    """Loads the folder as anybody would and compares, in float32."""
    path = os.path.join(HERE, "adapters", name)
    model = base_of(base).float()
    bare = name == "lora-stack"
    on = peft.PeftModel.from_pretrained(model.model if bare else model, path).eval()
    if bare:
        model.model = on.base_model.model
    want, got = load_file(os.path.join(HERE, "families", base, "expected.safetensors")), load_file(
        os.path.join(path, "expected.safetensors"))
    with torch.no_grad():
        if "nll" in got:
            nll = torch.stack(losses(model if bare else on, want)[0])
            assert torch.allclose(nll, got["nll"], rtol=1e-5), (name, nll, got["nll"])
        else:
            assert (states(on, want) - got["hidden.last"]).abs().max() < 2e-5, name


def refused():
    """Adapters that change more than winnow knows: only their configs matter."""
    for name, change in {"dora": {"use_dora": True}, "saved-modules": {"modules_to_save": ["lm_head"]},
                         "pissa": {"init_lora_weights": "pissa"}, "prefix": {"peft_type": "PREFIX_TUNING"}}.items():
        source, path = os.path.join(HERE, "adapters", "lora-gpt-neox"), fresh("adapters", "refused-" + name)
        with open(os.path.join(source, "adapter_config.json")) as f:
            config = dict(json.load(f), **change)
        write_json(os.path.join(path, "adapter_config.json"), config)
        save_file({"base_model.model.x": torch.zeros(1)}, os.path.join(path, "adapter_model.safetensors"))


def main():
    only = sys.argv[1:]
    for i, (name, (base, config, bare)) in enumerate(ADAPTERS.items()):
        if not only or name in only:
            write(name, 900 + i, base, config, bare)
            check(name, base)
    refused()


if __name__ == "__main__":
    sys.exit(main())
