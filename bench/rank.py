"""Rank classification beside transformers, in one run: rows of one prompt and four choices.

    python bench/rank.py --model MODEL [--winnow build/winnow] [--rows 8] [--words 137] [--threads 2]

Three peers: every choice behind its prompt in one padded batch, as most scripts do, in float32 and in bfloat16; and a
loop that computes the prompt once and goes on from its cache for all choices. winnow and the peer take turns; medians
count, loading does not. Prints a JSON line each: rows a second, how often the peer's answer is winnow's, and last
winnow's rate over that of the fastest peer. Prompts have about 150 tokens."""
import argparse, json, statistics, time

from peer import load, make_rows, winnow


def score(logits, ids, mask):
    import torch
    logp = torch.log_softmax(logits.float(), -1).gather(-1, ids[..., None])[..., 0]
    return -(logp * mask).sum(-1)


def texts(tok, row):
    """Prompt and choices as winnow makes them: apart, a space ahead of a choice, EOS behind it."""
    prompt = tok(row["prompt"]).input_ids
    return prompt, [tok(" " + c, add_special_tokens=False).input_ids + [tok.eos_token_id] for c in row["choices"]]


def padded(tok, net, rows, batch):
    import torch
    flat = [(i, p + c, len(c)) for i, row in enumerate(rows) for p, cs in [texts(tok, row)] for c in cs]
    losses = []
    for at in range(0, len(flat), batch):
        part = flat[at:at + batch]
        n = max(len(t) for _, t, _ in part)
        ids = torch.tensor([t + [0] * (n - len(t)) for _, t, _ in part])
        seen = torch.tensor([[1] * len(t) + [0] * (n - len(t)) for _, t, _ in part])
        mask = torch.tensor([[float(len(t) - k <= j + 1 < len(t)) for j in range(n - 1)] for _, t, k in part])
        with torch.no_grad():
            logits = net(input_ids=ids, attention_mask=seen).logits
        losses += score(logits[:, :-1], ids[:, 1:], mask).tolist()
    best = {}
    for (i, _, _), loss in zip(flat, losses):
        best.setdefault(i, []).append(loss)
    return [min(range(len(v)), key=v.__getitem__) for v in best.values()]


def cached(tok, net, rows):
    import torch
    best = []
    for row in rows:
        prompt, choices = texts(tok, row)
        n = max(map(len, choices))
        with torch.no_grad():
            first = net(input_ids=torch.tensor([prompt]), use_cache=True)
            first.past_key_values.batch_repeat_interleave(len(choices))
            ids = torch.tensor([c + [0] * (n - len(c)) for c in choices])
            more = net(input_ids=ids, past_key_values=first.past_key_values).logits
        logits = torch.cat([first.logits[:, -1:].expand(len(choices), -1, -1), more[:, :-1]], 1)
        mask = torch.tensor([[float(j < len(c)) for j in range(n)] for c in choices])
        losses = score(logits, ids, mask).tolist()
        best.append(min(range(len(losses)), key=losses.__getitem__))
    return best


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", required=True)
    a.add_argument("--winnow", default="build/winnow")
    a.add_argument("--rows", type=int, default=8)
    a.add_argument("--words", type=int, default=137)
    a.add_argument("--batch", type=int, default=32)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--peers", default="float32 padded,bfloat16 padded,bfloat16 cached")
    a = a.parse_args()
    rows, many = make_rows(a.rows, a.words, 4), make_rows(16 * a.rows, a.words, 4)
    ours, best = {}, 0

    def winnow_rate():
        loading, _ = winnow(a.winnow, a.model, many[:1], a.threads)
        took, out = winnow(a.winnow, a.model, many, a.threads)
        ours.update((r["id"], many[r["id"]]["choices"].index(r["prediction"])) for r in out)
        return (len(many) - 1) / (took - loading)

    winnow_rate()
    mine = []
    for peer in a.peers.split(","):
        dtype, way = peer.split()
        tok, net = load(a.model, dtype, a.threads)
        run = (lambda r: padded(tok, net, r, a.batch)) if way == "padded" else (lambda r: cached(tok, net, r))
        run(rows)
        rates = []
        for _ in range(a.rounds):
            mine.append(winnow_rate())
            start = time.time()
            said = run(rows)
            rates.append(len(rows) / (time.time() - start))
        rate = statistics.median(rates)
        best = max(best, rate)
        print(json.dumps({
            "who": f"transformers {peer}", "rows_a_second": round(rate, 2), "prompt_tokens": len(texts(tok, rows[0])[0]),
            "same_answers": sum(x == ours[i] for i, x in enumerate(said)) / len(rows)}), flush=True)
    rate = statistics.median(mine)
    print(json.dumps({"who": "winnow", "rows_a_second": round(rate, 2), "ratio": round(rate / best, 2)}), flush=True)


if __name__ == "__main__":
    main()
