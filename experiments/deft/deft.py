#!/usr/bin/env python3
"""Does training on a target's nearest rows of a multitask pool beat other ways to choose them?

    experiments/deft/deft.py --pool POOL.jsonl[.gz]... --targets DIR --encoder MODEL --model MODEL --out DIR

POOL: rows of many tasks; DIR has a folder a target with query.jsonl, validation.jsonl, test.jsonl. Every step is a command
of winnow; finished ones are not run again, so the same call goes on after a kill, over days if need be. Whatever is
finished is reported: DIR/results.jsonl, DIR/table.md, DIR/*.svg. --plan says what would run, --report what is there. README.md beside this
file tells the settings and their reasons.
"""

import argparse
import glob
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import Lab, interval, mean, plot, rows_of, shuffled, sign_flip, spearman, table, write_rows  # noqa: E402

TRAIN = ["--method", "lora", "--rank", "8", "--epochs", "1", "--schedule", "linear", "--warmup", "10%"]
# As DEFT's few-shot stage: IA3 by Adafactor, linear warm-up and decay, batch 8, norm clipped at 1.
SHOTS = ["--method", "ia3", "--optimizer", "adafactor", "--lr", "3e-3", "--batch", "8", "--schedule", "linear",
         "--warmup", "6%", "--clip-norm", "1"]


def options():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--pool", nargs="+", required=True)
    p.add_argument("--targets", required=True)
    p.add_argument("--encoder", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--rows", type=int, default=20000, help="stratified rows of the pool that `all` trains on")
    p.add_argument("--shares", default="0.05,0.02,0.01", help="sizes of the other arms, in the order they run")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--queries", default="100,32,500", help="the first is the usual number")
    p.add_argument("--max-test", type=int, default=200)
    p.add_argument("--max-tokens", type=int, default=256)
    p.add_argument("--lr", default="1e-3")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--shots", type=int, default=32)
    p.add_argument("--shot-steps", type=int, default=1000)
    p.add_argument("--jobs", type=int, default=2, help="commands at a time")
    p.add_argument("--threads", type=int, default=1, help="threads of each")
    p.add_argument("--tune", action="store_true", help="compare learning rates on validation rows, with random rows")
    p.add_argument("--plan", action="store_true", help="list the commands and stop")
    p.add_argument("--report", action="store_true", help="only report what is finished so far")
    return p.parse_args()


class Deft(Lab):
    def __init__(self, o):
        super().__init__(o.out, o.winnow, o.jobs, o.threads)
        self.o = o
        self.targets = sorted(os.path.basename(os.path.dirname(p)) for p in glob.glob(os.path.join(o.targets, "*", "test.jsonl")))
        if not self.targets:
            sys.exit(f"{o.targets}: no folders with test.jsonl")
        self.queries = [int(q) for q in o.queries.split(",")]
        self.arms = []  # (arm, share, seed, target, queries, train job or None, rows file, score job)
        self.prepare()

    def prepare(self):
        """Pool, queries, shots and test rows as files; none depends on anything but ids."""
        pool = self.path("pool.jsonl")
        if not os.path.exists(pool):
            tasks = {}
            for src in self.o.pool:
                with gzip.open(src, "rt", encoding="utf-8") if src.endswith(".gz") else open(src, encoding="utf-8") as f:
                    for line in f:
                        row = json.loads(line)
                        tasks.setdefault(row["task"], []).append(row)
            total = sum(map(len, tasks.values()))
            keep = []
            for name in sorted(tasks):
                n = max(1, round(self.o.rows * len(tasks[name]) / total))
                keep += shuffled(tasks[name], "pool")[:n]
            write_rows(pool, shuffled(keep, "order")[: self.o.rows])
        self.size = sum(1 for _ in open(pool, encoding="utf-8"))
        for t in self.targets:
            here = os.path.join(self.o.targets, t)
            queries = shuffled(rows_of(os.path.join(here, "query.jsonl")), "query")
            for n in self.queries:
                write_rows(self.path("data", t, f"query-{n}.jsonl"), queries[:n])
            for seed in range(self.o.seeds):
                shots = shuffled(queries, f"shots/{seed}")[: self.o.shots]
                write_rows(self.path("data", t, f"shots-{seed}.jsonl"), shots)
            for part, n in (("test", self.o.max_test), ("validation", self.o.max_test // 2)):
                write_rows(self.path("data", t, part + ".jsonl"), shuffled(rows_of(os.path.join(here, part + ".jsonl")), part)[:n])

    def data(self, target, part):
        return self.path("data", target, part + ".jsonl")

    def train(self, name, rows, seed, after, lr=None):
        cmd = ["train", "--model", self.o.model, "--data", rows, "--out", self.path("train", name), "--lr", lr or self.o.lr,
               "--batch", self.o.batch, "--max-tokens", self.o.max_tokens, "--max-target", self.o.max_tokens // 2, "--seed", seed] + TRAIN
        return self.add("train/" + name, cmd, after)

    def score(self, name, target, after, model=None, adapter=None, part="test"):
        out = self.path("score", f"{name}--{target}--{part}.jsonl")
        cmd = ["score", "--model", model or self.o.model, "--rows", self.data(target, part), "--max-tokens", 2 * self.o.max_tokens,
               "--out", out] + (["--adapter", adapter] if adapter else [])
        return self.add(f"score/{name}/{target}/{part}", cmd, after)

    def stores(self):
        self.add("pool", ["pool", "build", self.path("pool.jsonl"), "--out", self.path("pool")])
        self.encoders = {"minilm": self.o.encoder, "own": self.o.model}
        for e, model in self.encoders.items():
            self.embed(e, "pool", model, self.path("pool"), ["pool"])

    def whole_pool(self):
        """Every row there is, for `deft-wide`."""
        if "whole-pool" not in self.names:
            self.add("whole-pool", ["pool", "build"] + self.o.pool + ["--out", self.path("whole-pool")])
            self.embed("minilm", "whole-pool", self.o.encoder, self.path("whole-pool"), ["whole-pool"])

    def embed(self, encoder, name, model, rows, after=()):
        job = f"embed/{encoder}/{name}"
        if job not in self.names:
            self.add(job, ["embed", "--model", model, "--pool", rows, "--out", self.path("stores", f"{encoder}-{name}"),
                           "--max-tokens", self.o.max_tokens], after)
        return job

    def chosen(self, arm, share, seed, target, queries):
        """The job that chooses an arm's rows, and the file."""
        n = round(share * self.size)
        out = self.path("select", f"{arm}-{n}-q{queries}-{target or 'any'}-{seed}.jsonl")
        pool = "whole-pool" if arm == "deft-wide" else "pool"
        cmd = ["select", "--pool", self.path(pool), "--budget", n, "--out", out]
        after = ["pool"]
        if arm.startswith("deft"):
            e = "own" if arm == "deft-own" else "minilm"
            q = f"{target}-{queries}"
            if arm == "deft-wide":
                self.whole_pool()
            after = [f"embed/{e}/{pool}", self.embed(e, q, self.encoders[e], self.data(target, f"query-{queries}"))]
            cmd += ["--strategy", "deft", "--store", self.path("stores", f"{e}-{pool}"), "--queries", self.path("stores", f"{e}-{q}"),
                    "--avoid", self.data(target, "test")]
        elif arm == "bm25":
            cmd += ["--strategy", "bm25", "--queries", self.data(target, f"query-{queries}"), "--avoid", self.data(target, "test")]
        else:
            cmd += ["--strategy", arm, "--seed", seed]
            for t in self.targets:
                cmd += ["--avoid", self.data(t, "test")]
        return self.add("select/" + os.path.basename(out)[:-6], cmd, after), out

    def arm(self, arm, share, seed, queries=None):
        """Train on an arm's rows and score its targets: each target's own model, or one for all."""
        own = arm.startswith("deft") or arm == "bm25"
        queries = queries or self.queries[0]
        for t in self.targets if own else [None]:
            if arm == "all":
                pick, rows = "pool", self.path("pool.jsonl")
            else:
                pick = f"select/{arm}-{round(share * self.size)}-q{queries}-{t or 'any'}-{seed if not own else 0}"
                rows = self.path("select", pick[7:] + ".jsonl")
                if pick not in self.names:
                    self.chosen(arm, share, seed if not own else 0, t, queries)
            name = f"{arm}-{round(share * self.size)}-q{queries}-{t or 'any'}-{seed}"
            job = self.train(name, rows, seed, [pick])
            for target in [t] if t else self.targets:
                s = self.score(name, target, [job], adapter=self.path("train", name))
                self.arms.append((arm, share, seed, target, queries if own else None, job, rows, s))

    def few_shot(self, start, share, seed, target):
        """IA3 on labelled shots, from the model or from an arm's merged one."""
        model, after = self.o.model, []
        share = {"all": 1.0, "zero-shot": 0.0}.get(start, share)
        if start != "zero-shot":
            own = start.startswith("deft")
            name = f"{start}-{round(share * self.size)}-q{self.queries[0]}-{target if own else 'any'}-0"
            model = self.path("merged", name)
            after = [f"merge/{name}"]
            if after[0] not in self.names:
                self.add(after[0], ["merge", "--model", self.o.model, "--adapter", self.path("train", name), "--out", model], [f"train/{name}"])
        name = f"shots-{start}-{target}-{seed}"
        job = self.add("train/" + name, ["train", "--model", model, "--data", self.data(target, f"shots-{seed}"), "--out",
                                         self.path("train", name), "--steps", self.o.shot_steps, "--max-tokens", self.o.max_tokens, "--max-target", self.o.max_tokens // 2,
                                         "--seed", seed] + SHOTS, after)
        s = self.score(name, target, [job], model=model, adapter=self.path("train", name))
        self.arms.append((start + "+shots", share, seed, target, None, job, self.data(target, f"shots-{seed}"), s))

    def build(self):
        shares = [float(s) for s in self.o.shares.split(",")]
        first = shares[0]
        for t in self.targets:
            self.arms.append(("zero-shot", 0.0, 0, t, None, None, None, self.score("zero-shot", t, [])))
        self.stores()
        for i, share in enumerate(shares):
            for arm in ("random", "balanced-random", "deft", "bm25"):
                self.arm(arm, share, 0)
            if i == 0:
                self.arm("all", 1.0, 0)
        for seed in range(1, self.o.seeds):
            for arm in ("deft", "random", "balanced-random", "bm25"):
                self.arm(arm, first, seed)
        for q in self.queries[1:]:
            self.arm("deft", first, 0, q)
        self.arm("deft-own", first, 0)
        self.arm("deft-wide", first, 0)
        for seed in range(self.o.seeds):
            for start in ("zero-shot", "random", "deft", "all"):
                for t in self.targets:
                    self.few_shot(start, first, seed, t)
        for seed in range(1, self.o.seeds):
            self.arm("deft-own", first, seed)
            self.arm("deft-wide", first, seed)
            for share in shares[1:]:
                for arm in ("deft", "random", "balanced-random", "bm25"):
                    self.arm(arm, share, seed)
            for q in self.queries[1:]:
                self.arm("deft", first, seed, q)
            self.arm("all", 1.0, seed)

    def tune(self):
        self.stores()
        pick, rows = self.chosen("random", 0.02, 0, None, self.queries[0])
        jobs = {}
        for lr in ("3e-4", "1e-3", "3e-3"):
            job = self.train("tune-" + lr, rows, 0, [pick], lr)
            jobs[lr] = [self.score("tune-" + lr, t, [job], adapter=self.path("train", "tune-" + lr), part="validation") for t in self.targets]
        self.run()
        for lr, scores in jobs.items():
            losses = [mean([r["loss"] for r in self.outcome(s, t, "validation")]) for s, t in zip(scores, self.targets)]
            print(f"lr {lr}: mean validation loss {mean(losses):.4f}  " + " ".join(f"{x:.3f}" for x in losses))

    def outcome(self, score, target, part="test"):
        """A row's loss a target token, and whether the likeliest choice is the right one."""
        name = score.split("/")[1]
        out = []
        for row, s in zip(rows_of(self.data(target, part)), rows_of(self.path("score", f"{name}--{target}--{part}.jsonl"))):
            r = {"loss": s["nll"] / s["tokens"]}
            if "choices" in s:
                nll = [c["nll"] for c in s["choices"]]
                r["correct"] = int(row["choices"][nll.index(min(nll))] == row["target"])
            out.append(r)
        return out

    def results(self):
        rows = []
        for arm, share, seed, target, queries, job, data, score in self.arms:
            if not self.done(score):
                continue
            per = self.outcome(score, target)
            r = {"arm": arm, "share": share, "seed": seed, "target": target, "queries": queries, "n": len(per),
                 "rows": sum(1 for _ in open(data, encoding="utf-8")) if data else 0, "loss": round(mean([p["loss"] for p in per]), 5),
                 "losses": [round(p["loss"], 3) for p in per]}
            if "correct" in per[0]:
                r["accuracy"] = round(mean([p["correct"] for p in per]), 5)
                r["correct"] = "".join(str(p["correct"]) for p in per)
            if job:
                r["train_cpu_seconds"] = self.cost(job)[0]
            rows.append(r)
        return rows


def by_arm(rows):
    """{(arm, share, queries): {target: [a result a seed]}}"""
    g = {}
    for r in rows:
        g.setdefault((r["arm"], r["share"], r["queries"]), {}).setdefault(r["target"], []).append(r)
    return g


def averaged(results, field):
    """A number a test row, over the seeds there are."""
    cols = [[float(c) for c in r["correct"]] if field == "correct" else r["losses"] for r in results]
    return [mean(c) for c in zip(*cols)]


def paired(g, a, b, field):
    """Mean over targets of the difference a - b, its interval by bootstrap within targets, p by sign flips."""
    both = [t for t in g[a] if t in g.get(b, {}) and (field == "loss" or "correct" in g[a][t][0])]
    if not both:
        return None
    diff = {t: [x - y for x, y in zip(averaged(g[a][t], field), averaged(g[b][t], field))] for t in both}
    weighted = [d * len(both) ** -1 / len(diff[t]) for t in both for d in diff[t]]
    spread = [d * len(weighted) for d in weighted]
    low, high = interval(spread)
    return mean([mean(d) for d in diff.values()]), low, high, sign_flip(weighted), len(both)


def label(key):
    arm, share, queries = key
    size = "" if arm in ("zero-shot", "all") or "+" in arm else f" {share:.0%}"
    return arm + size + (f", {queries} queries" if queries else "")


def spread(g):
    """What one seed is worth: the mean loss over the targets, seed by seed, of arms that have several on all of them."""
    body = []
    for key, per in g.items():
        n = min(len(x) for x in per.values())
        if n > 1:
            body.append([label(key)] + [" ".join(f"{mean([x[i]['loss'] for x in per.values()]):.3f}" for i in range(n))])
    return "\n## mean loss, seed by seed\n\n" + table(["arm", "seeds"], body) if body else ""


def by_distance(lab, g):
    """Whether neighbours help more where they are nearer: a target's distance is the mean score of its chosen rows, of the largest size."""
    share = max((k[1] for k in g if k[0] == "deft"), default=0)
    key, rivals = ("deft", share, lab.queries[0]), [("random", share, None), ("balanced-random", share, None)]
    if any(t not in g.get(k, {}) for k in [key] + rivals for t in lab.targets):
        return ""
    body, columns = [], []
    for t in lab.targets:
        rows = rows_of(lab.path("select", f"deft-{round(share * lab.size)}-q{lab.queries[0]}-{t}-0.jsonl"))
        loss = [mean([r["loss"] for r in g[k][t]]) for k in [key] + rivals]
        columns.append([mean([r["score"] for r in rows]), loss[1] - loss[0], loss[2] - loss[0]])
    for t, c in sorted(zip(lab.targets, columns), key=lambda x: x[1][0]):
        body.append([t, f"{c[0]:.3f}", f"{c[1]:+.3f}", f"{c[2]:+.3f}"])
    d, a, b = zip(*columns)
    return ("\n## loss saved by neighbours, by distance\n\n" + table(["target", "mean squared distance of the chosen rows", "than random", "than balanced random"], body)
            + f"\nRank correlation of distance and saving: {spearman(d, a):+.2f} (random), {spearman(d, b):+.2f} (balanced), {len(d)} targets.\n")


def report(lab):
    rows = lab.results()
    write_rows(lab.path("results.jsonl"), rows)
    g = by_arm(rows)
    targets = lab.targets
    text = f"{lab.size} pool rows; {len(rows)} trained-and-scored results; mean over the seeds each has.\n"
    for field, better in (("accuracy", "higher"), ("loss", "lower")):
        body = []
        for key in g:
            cells, got = [], []
            for t in targets:
                v = [r[field] for r in g[key].get(t, []) if field in r]
                cells.append(f"{mean(v):.3f}" if v else "")
                got += [mean(v)] if v else []
            seeds = {len(x) for x in g[key].values()}
            n = round(mean([r["rows"] for x in g[key].values() for r in x]))
            cpu = [r["train_cpu_seconds"] for x in g[key].values() for r in x if "train_cpu_seconds" in r]
            body.append([label(key), n, "/".join(map(str, sorted(seeds))), f"{mean(cpu):.0f}" if cpu else ""] + cells + [f"{mean(got):.4f}" if got else ""])
        text += f"\n## {field} ({better} is better)\n\n" + table(["arm", "rows", "seeds", "CPU s"] + targets + ["mean"], body)
    text += "\n## paired differences, mean over targets\n\n"
    body = []
    for a in g:
        rivals = [k for k in g if k != a and a[0].startswith("deft") and "+" not in a[0] and "+" not in k[0]
                  and (k[1] == a[1] or k[0] in ("zero-shot", "all"))]
        rivals += [k for k in g if "+" in a[0] and a[0].startswith("deft") and "+" in k[0] and k != a]
        for b in rivals:
            acc, loss = paired(g, a, b, "correct"), paired(g, a, b, "loss")
            show = [f"{v[0]:+.3f} [{v[1]:+.3f}, {v[2]:+.3f}], p {'< 0.001' if v[3] < 1e-3 else f'{v[3]:.3f}'}" if v else "" for v in (acc, loss)]
            body.append([label(a), label(b)] + show)
    text += table(["arm", "against", "accuracy", "loss"], body)
    text += spread(g) + by_distance(lab, g)
    with open(lab.path("table.md"), "w", encoding="utf-8") as f:
        f.write(text)
    for field in ("accuracy", "loss"):
        series = {}
        for (arm, share, queries), per in g.items():
            if "+" in arm or (queries or lab.queries[0]) != lab.queries[0] or arm in ("zero-shot", "all"):
                continue
            v = [mean([r[field] for r in x]) for x in per.values() if field in x[0]]
            if v and len(per) == len(targets):
                series.setdefault(arm, []).append((100 * share, mean(v)))
        for arm in ("zero-shot", "all"):
            per = next((p for k, p in g.items() if k[0] == arm), None)
            if per and series:
                v = mean([mean([r[field] for r in x]) for x in per.values() if field in x[0]])
                xs = [x for ps in series.values() for x, _ in ps if arm != ""]
                series[arm] = [(min(xs), v), (max(xs), v)]
        if series:
            plot(lab.path(field + ".svg"), f"mean {field} over the targets", "share of the pool, %", field, list(series.items()))
    print(text)


def main():
    o = options()
    lab = Deft(o)
    if o.tune:
        lab.tune()
        return
    lab.build()
    if o.plan:
        for j in lab.jobs:
            print(j["state"], j["name"], " ".join(j["cmd"]))
        return
    lab.still = o.report
    try:
        lab.run()
    finally:
        report(lab)


main()
