"""Embedding rows: winnow beside sentence-transformers and OpenVINO.

    python bench/embed.py --winnow build/winnow --model FOLDER --rows rows.jsonl

The model is a BERT-like sentence-transformers folder with mean pooling. All sides get the same
texts and threads and turn texts into vectors, tokenizing included. winnow's time is that of a whole
process (start, loading, writing the store); the peers are loaded and warm. Peers run at each of
several batch sizes, rows sorted by length; their best counts. With --peer-rows they get the first
rows only (what they take a row does not depend on how many there are), and rates are compared.
"""
import argparse
import os
import shutil
import subprocess
import tempfile

import numpy as np

from common import alternate, command_seconds, cpu_name, read_rows, report, seconds, threads



def st_cases(a, texts, vectors, kinds):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(a.threads)
    cases = {}
    for kind in kinds:
        dtype = torch.float32 if kind == "f32" else torch.bfloat16
        model = SentenceTransformer(a.model, device="cpu", model_kwargs={"dtype": dtype})
        for batch in a.batches:
            name = f"sentence-transformers {kind} batch {batch}"

            def work(model=model, batch=batch, name=name):
                def run():
                    vectors[name] = model.encode(texts, batch_size=batch, convert_to_tensor=True,
                                                 show_progress_bar=False).float().numpy()
                return seconds(run)

            cases[name] = work
    return cases


def ov_model(a):
    """Ids and mask to a vector, pooled and normalised inside, any batch and length."""
    import openvino as ov
    import torch
    from transformers import AutoModel

    class Embedder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = AutoModel.from_pretrained(a.model, dtype=torch.float32,
                                                  attn_implementation="sdpa").eval()

        def forward(self, input_ids, attention_mask):
            x = self.bert(input_ids=input_ids, attention_mask=attention_mask)[0]
            m = attention_mask.unsqueeze(-1).to(x.dtype)
            return torch.nn.functional.normalize((x * m).sum(1) / m.sum(1), dim=1)

    ids = torch.ones((2, 8), dtype=torch.int64)
    with torch.no_grad():
        return ov.convert_model(Embedder(), example_input={"input_ids": ids, "attention_mask": ids},
                                input=[("input_ids", [-1, -1], ov.Type.i64),
                                       ("attention_mask", [-1, -1], ov.Type.i64)])


def ov_tokenizer(a):
    from tokenizers import Tokenizer

    t = Tokenizer.from_file(os.path.join(a.model, "tokenizer.json"))
    t.enable_truncation(a.max_tokens)
    t.no_padding()
    return t


def batches_of(ids, batch):
    """Rows by length, cut into batches, each padded to its longest row."""
    order = np.argsort([-len(i) for i in ids], kind="stable")
    for at in range(0, len(order), batch):
        part = order[at:at + batch]
        width = max(len(ids[i]) for i in part)
        block = np.zeros((len(part), width), dtype=np.int64)
        mask = np.zeros_like(block)
        for r, i in enumerate(part):
            block[r, :len(ids[i])] = ids[i]
            mask[r, :len(ids[i])] = 1
        yield part, block, mask


def ov_run(compiled, tokenizer, texts, batch):
    import openvino as ov

    ids = [e.ids for e in tokenizer.encode_batch(texts)]
    out = np.empty((len(texts), compiled.output(0).partial_shape[1].get_length()), dtype=np.float32)
    queue = ov.AsyncInferQueue(compiled)

    def done(request, part):
        out[part] = request.get_output_tensor(0).data

    queue.set_callback(done)
    for part, block, mask in batches_of(ids, batch):
        queue.start_async({"input_ids": block, "attention_mask": mask}, part)
    queue.wait_all()
    return out


def ov_cases(a, texts, vectors, kinds):
    import openvino as ov

    core, tokenizer, cases = ov.Core(), ov_tokenizer(a), {}
    for kind in kinds:
        model = ov_model(a)
        if kind == "int8":
            import nncf
            from nncf.parameters import ModelType

            ids = [e.ids for e in tokenizer.encode_batch(texts[:a.calibration])]
            data = [{"input_ids": b, "attention_mask": m} for _, b, m in batches_of(ids, 1)]
            model = nncf.quantize(model, nncf.Dataset(data), model_type=ModelType.TRANSFORMER,
                                  subset_size=len(data))
        for hint in ("LATENCY", "THROUGHPUT"):
            compiled = core.compile_model(model, "CPU", {
                "PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": a.threads,
                "INFERENCE_PRECISION_HINT": "f32" if kind == "f32" else "bf16"})
            for batch in a.batches:
                name = f"openvino {kind} {hint.lower()} batch {batch}"

                def work(compiled=compiled, batch=batch, name=name):
                    def run():
                        vectors[name] = ov_run(compiled, tokenizer, texts, batch)
                    return seconds(run)

                cases[name] = work
    return cases


def winnow_cases(a, scratch, vectors):
    cases = {}
    for kind in a.precision.split(","):
        def work(kind=kind):
            out = os.path.join(scratch, kind)
            sec = command_seconds([a.winnow, "embed", "--model", a.model, "--pool", a.rows, "--out",
                                   out, "--overwrite", "--quiet", "--precision", kind, "--threads",
                                   str(a.threads)])
            npy = out + ".npy"
            subprocess.run([a.winnow, "export", out, "--out", npy, "--overwrite", "--quiet"],
                           check=True, stdout=subprocess.DEVNULL)
            vectors[f"winnow {kind}"] = np.load(npy)
            return sec

        cases[f"winnow {kind}"] = work
    return cases


def least_cosine(x, y):
    n = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return float(((x * y).sum(1) / n).min())


def best(pace, prefix):
    found = {n: s for n, s in pace.items() if n.startswith(prefix)}
    return min(found.items(), key=lambda p: p[1]) if found else (None, None)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--model", required=True)
    p.add_argument("--rows", required=True)
    p.add_argument("--peer-rows", type=int, default=0, help="0: all")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--max-tokens", type=int, default=256)
    p.add_argument("--calibration", type=int, default=300)
    p.add_argument("--precision", default="f32,bf16", help="winnow's: f32, bf16, int8 by commas")
    p.add_argument("--batches", default="16,32,64", help="of the peers, by commas")
    p.add_argument("--peers", default="st-f32,st-bf16,ov-bf16",
                   help="st-f32, st-bf16, ov-f32, ov-bf16, ov-int8 by commas")
    a = p.parse_args()
    a.batches = [int(b) for b in a.batches.split(",")]
    a.threads = threads(a.threads)
    texts = [r["prompt"] for r in read_rows(a.rows)]
    given = texts[:a.peer_rows] if a.peer_rows else texts
    counts = [len(e.ids) for e in ov_tokenizer(a).encode_batch(texts)]
    vectors, scratch = {}, tempfile.mkdtemp()
    try:
        cases = winnow_cases(a, scratch, vectors)
        peers = a.peers.split(",") if a.peers else []
        kinds = [k[3:] for k in peers if k.startswith("st-")]
        if kinds:
            cases.update(st_cases(a, given, vectors, kinds))
        kinds = [k[3:] for k in peers if k.startswith("ov-")]
        if kinds:
            cases.update(ov_cases(a, given, vectors, kinds))
        medians = alternate(cases, a.rounds)
    finally:
        shutil.rmtree(scratch)
    truth = vectors["winnow f32"] if "winnow f32" in vectors else None
    rows = {n: len(texts if n.startswith("winnow") else given) for n in medians}
    pace = {n: sec / sum(counts[:rows[n]]) for n, sec in medians.items()}
    for name, sec in medians.items():
        fields = {"case": name, "rows": rows[name], "seconds": round(sec, 3),
                  "rows_per_sec": round(rows[name] / sec, 1), "tokens_per_sec": round(1 / pace[name])}
        if truth is not None:
            fields["least_cosine_to_winnow_f32"] = round(
                least_cosine(vectors[name], truth[:rows[name]]), 6)
        report(**fields)
    for kind in a.precision.split(","):
        ours = pace[f"winnow {kind}"]
        for prefix in ("sentence-transformers", "openvino f32", "openvino bf16", "openvino int8"):
            name, each = best(pace, prefix)
            if name:
                report(case=f"winnow {kind} over {prefix}", ratio=round(each / ours, 2), beside=name,
                       threads=a.threads, rows=len(texts),
                       tokens_per_row=round(sum(counts) / len(texts), 1),
                       cpu=cpu_name())


if __name__ == "__main__":
    main()
