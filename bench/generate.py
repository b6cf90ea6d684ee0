"""Greedy generation beside transformers, in one run: new tokens a second for 1, 8 and 32 rows.

    python bench/generate.py --model MODEL [--winnow build/winnow] [--rows 1,8,32] [--new 48] [--threads 2]

transformers pads the rows to one batch on the left and runs generate(). Of both the time for one new token is taken
off, so loading and prompts do not count. Prints a JSON line each, with how many of the texts are the same."""
import argparse, json, time

from peer import load, make_rows, winnow


def peer(tok, net, rows, new):
    import torch
    tok.pad_token, tok.padding_side = tok.pad_token or tok.eos_token, "left"
    x = tok([r["prompt"] for r in rows], return_tensors="pt", padding=True)
    start = time.time()
    with torch.no_grad():
        y = net.generate(**x, max_new_tokens=new, do_sample=False, pad_token_id=tok.pad_token_id)
    made = y[:, x.input_ids.shape[1]:]
    return time.time() - start, tok.batch_decode(made, skip_special_tokens=True)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", required=True)
    a.add_argument("--winnow", default="build/winnow")
    a.add_argument("--rows", default="1,8,32")
    a.add_argument("--words", type=int, default=20)
    a.add_argument("--new", type=int, default=48)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--precision", default="auto")
    a.add_argument("--peers", default="float32,bfloat16")
    a = a.parse_args()
    sets = [make_rows(int(n), a.words, 0) for n in a.rows.split(",")]
    ours = []
    for rows in sets:
        one, _ = winnow(a.winnow, a.model, rows, a.threads, "--max-new", "1", "--precision", a.precision)
        took, out = winnow(a.winnow, a.model, rows, a.threads, "--max-new", str(a.new), "--precision", a.precision)
        ours.append((took - one, [r["raw"] for r in out]))
    for dtype in a.peers.split(","):
        tok, net = load(a.model, dtype, a.threads)
        peer(tok, net, sets[0], 2)
        for rows, (took, texts) in zip(sets, ours):
            one, _ = peer(tok, net, rows, 1)
            whole, theirs = peer(tok, net, rows, a.new)
            count = [sum(len(tok(t, add_special_tokens=False).input_ids) for t in v) for v in (texts, theirs)]
            print(json.dumps({
                "rows": len(rows), "winnow": round(count[0] / took, 1), f"transformers {dtype}": round(count[1] / (whole - one), 1),
                "winnow_is": round(count[0] / took / (count[1] / (whole - one)), 2),
                "same_texts": sum(x == y for x, y in zip(texts, theirs)) / len(rows)}), flush=True)


if __name__ == "__main__":
    main()
