"""Loss of prompts of 512 tokens: `winnow score` beside llama.cpp's llama-bench and transformers.

    python bench/forward.py --winnow build/winnow --model model.gguf --rows pool.jsonl.gz \\
        --llama-bench BIN --llama-model BF16=bf16.gguf --llama-model F32=f32.gguf

Prompts are the rows' prompts run together and cut. winnow's rate is that between a run of many rows
and a run of one, so that loading counts as little as with the peers, which are loaded and warm; its
output head is computed for the supervised tokens, llama-bench's for the last token, transformers'
for all. transformers gets random weights of the
model's shape, which take the same time.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile

from common import alternate, command_seconds, cpu_name, read_rows, report, seconds, threads

TARGET = " yes"


def write_rows(path, texts):
    with open(path, "w", encoding="utf-8") as f:
        for i, t in enumerate(texts):
            f.write(json.dumps({"id": str(i), "task": "t", "prompt": t, "target": TARGET}) + "\n")


def winnow_case(a, scratch, texts, kind):
    many, one = os.path.join(scratch, "many.jsonl"), os.path.join(scratch, "one.jsonl")
    write_rows(many, texts)
    write_rows(one, texts[:1])

    def run(rows):
        return command_seconds([a.winnow, "score", "--model", a.model, "--rows", rows, "--out",
                                os.path.join(scratch, "out"), "--overwrite", "--quiet",
                                "--precision", kind, "--threads", str(a.threads), "--max-tokens",
                                str(a.prompt + 2)])

    return lambda: (run(many) - run(one)) / (len(texts) - 1)


def llama_case(a, path):
    def run():
        out = subprocess.run([a.llama_bench, "-m", path, "-p", str(a.prompt), "-n", "0", "-t",
                              str(a.threads), "-r", "3", "-o", "json"], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return a.prompt / statistics.median(json.loads(out)[0]["samples_ts"])

    return run


def transformers_cases(a):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(a.threads)
    folder, name = os.path.split(os.path.realpath(a.model))
    config = AutoConfig.from_pretrained(folder, gguf_file=name)
    ids = torch.randint(config.vocab_size, (1, a.prompt))
    cases = {}
    for kind, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()

        def run(model=model):
            with torch.no_grad():
                return seconds(lambda: model(ids, labels=ids).loss.item())

        cases[f"transformers {kind}"] = run
    return cases


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--model", required=True, help="a .gguf file")
    p.add_argument("--rows", required=True)
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--count", type=int, default=33)
    p.add_argument("--precision", default="f32,bf16")
    p.add_argument("--llama-bench")
    p.add_argument("--llama-model", action="append", default=[], metavar="NAME=FILE")
    p.add_argument("--transformers", action="store_true")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    a.threads = threads(a.threads)
    words = " ".join(r["prompt"] for r in read_rows(a.rows)[:40 * a.count]).split()
    each = 2 * a.prompt  # words are a token or more, and what is too long loses its beginning
    texts = [" ".join(words[i * each:(i + 1) * each]) for i in range(a.count)]
    scratch = tempfile.mkdtemp()
    try:
        cases = {f"winnow {k}": winnow_case(a, scratch, texts, k) for k in a.precision.split(",")}
        for pair in a.llama_model:
            name, path = pair.split("=", 1)
            cases[f"llama.cpp {name}"] = llama_case(a, path)
        if a.transformers:
            cases.update(transformers_cases(a))
        medians = alternate(cases, a.rounds)
    finally:
        shutil.rmtree(scratch)
    for name, sec in medians.items():
        report(case=name, seconds_a_prompt=round(sec, 4), tokens_per_sec=round(a.prompt / sec))
    ours = {n: s for n, s in medians.items() if n.startswith("winnow")}
    peers = {n: s for n, s in medians.items() if not n.startswith("winnow")}
    for name, sec in ours.items():
        for peer, other in peers.items():
            report(case=f"{name} over {peer}", ratio=round(other / sec, 2), threads=a.threads,
                   prompt=a.prompt, cpu=cpu_name())


if __name__ == "__main__":
    main()
