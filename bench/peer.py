"""What the benchmarks against transformers share: rows, the peer's model, winnow's time."""
import json, os, random, subprocess, tempfile, time

WORDS = """river stone window paper garden music letter winter bridge candle forest market doctor silver kitchen
summer travel engine mirror pocket button carpet island ladder magnet needle orange pencil rabbit saddle ticket
velvet walnut yellow anchor basket copper dragon falcon hammer jacket""".split()


def sentence(gen, n):
    return " ".join(gen.choice(WORDS) for _ in range(n))


def make_rows(n, words, choices, seed=0):
    """Prompts of about `words` words with `choices` answers of one to three words each."""
    gen, rows = random.Random(seed), []
    for i in range(n):
        row = {"id": i, "prompt": f"Text: {sentence(gen, words)}.\nQuestion: which word fits?\nAnswer:"}
        if choices:
            picks = gen.sample(WORDS, choices)
            row["choices"] = [p + "".join(" " + w for w in gen.sample(WORDS, gen.randrange(3))) for p in picks]
            row["target"] = row["choices"][0]
        else:
            row["target"] = "x"
        rows.append(row)
    return rows


def load(model, dtype, threads):
    import torch, transformers
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    where, name = os.path.split(model) if model.endswith(".gguf") else (model, None)
    more = {"gguf_file": name} if name else {}
    tok = transformers.AutoTokenizer.from_pretrained(where, **more)
    net = transformers.AutoModelForCausalLM.from_pretrained(where, dtype=getattr(torch, dtype), **more)
    return tok, net.eval()


def winnow(binary, model, rows, threads, *options):
    """Seconds of a run of `winnow eval`, loading included, and the rows written."""
    with tempfile.TemporaryDirectory() as d:
        path, out = os.path.join(d, "rows.jsonl"), os.path.join(d, "out.jsonl")
        with open(path, "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
        start = time.time()
        subprocess.run([binary, "eval", "--model", model, "--rows", path, "--out", out, "--quiet", "--threads",
                        str(threads), *options], check=True, stdout=subprocess.DEVNULL)
        took = time.time() - start
        with open(out) as f:
            return took, [json.loads(line) for line in f]
