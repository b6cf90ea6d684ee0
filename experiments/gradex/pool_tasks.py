#!/usr/bin/env python3
"""Can gradients stand in for training runs? Tasks of a real pool, real subset trainings, selection by every method.

    experiments/gradex/pool_tasks.py --pool POOL.jsonl[.gz]... --targets DIR --encoder MODEL --model MODEL --out DIR

One LoRA is trained on all tasks; gradients of margins are taken there; subsets of half of the tasks are estimated and, each of
them, trained for real from the model as it is. Then every method chooses half of the rows, and a model is trained on its
choice. Estimates and choices by gradients see the targets' validation rows, those by texts and vectors the query rows' prompts;
figures of the final models are on test rows. A killed run goes on. Results: DIR/results.jsonl, DIR/table.md, DIR/*.svg. README.md beside this file has what came out.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import Lab, interval, mean, plot, rows_of, shuffled, spearman, table, write_rows  # noqa: E402

MODES = {"clean": ["--mode", "clean", "--ridge", "cv"], "step": ["--mode", "step"], "ref": ["--mode", "ref"]}


def options():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--pool", nargs="+", required=True)
    p.add_argument("--targets", required=True)
    p.add_argument("--names", default="copa,rte,strategyqa,winogrande", help="targets")
    p.add_argument("--encoder", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--tasks", type=int, default=24)
    p.add_argument("--each", type=int, default=32, help="rows of a task")
    p.add_argument("--subsets", type=int, default=40, help="trained for real")
    p.add_argument("--seeds", type=int, default=1, help="true trainings of each subset; their mean is the truth")
    p.add_argument("--random", type=int, default=400, help="subsets of the random ensemble, estimated")
    p.add_argument("--max-test", type=int, default=200)
    p.add_argument("--max-validation", type=int, default=60)
    p.add_argument("--max-tokens", type=int, default=256)
    p.add_argument("--lr", default="1e-3")
    p.add_argument("--project", type=int, default=400)
    p.add_argument("--scale", default="0.02", help="length of the step of the real model moved along the estimate's")
    p.add_argument("--oracle", default="", help="targets for which forward selection by true training is run")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--report", action="store_true", help="only report what is finished so far")
    return p.parse_args()


def choose_tasks(o):
    """A task a category, as many as asked for, of those with enough rows and prompts of at most 700 characters on average."""
    tasks = {}
    for src in o.pool:
        with gzip.open(src, "rt", encoding="utf-8") if src.endswith(".gz") else open(src, encoding="utf-8") as f:
            for line in f:
                r = json.loads(line)
                tasks.setdefault(r["task"], []).append(r)
    fit = [t for t, rows in tasks.items() if len(rows) >= o.each and mean([len(r["prompt"]) + len(r["target"]) for r in rows]) <= 700]
    picked, seen = [], set()
    for t in sorted(fit, key=lambda t: random.Random("tasks/" + t).random()):
        family = tasks[t][0].get("family") or tasks[t][0].get("category") or t
        if family not in seen and len(picked) < o.tasks:
            seen.add(family)
            picked.append(t)
    if len(picked) < o.tasks:
        sys.exit(f"only {len(picked)} tasks of different families have {o.each} rows")
    return {t: shuffled(tasks[t], "rows")[: o.each] for t in sorted(picked)}


class Tasks(Lab):
    def __init__(self, o):
        super().__init__(o.out, o.winnow, o.jobs, o.threads)
        self.o = o
        self.names_of = o.names.split(",")
        if not os.path.exists(self.path("pool.jsonl")):
            write_rows(self.path("pool.jsonl"), [r for rows in choose_tasks(o).values() for r in rows])
        self.tasks = {}
        for r in rows_of(self.path("pool.jsonl")):
            self.tasks.setdefault(r["task"], []).append(r)
        for t in self.names_of:
            for part, n in (("query", 100), ("validation", o.max_validation), ("test", o.max_test)):
                write_rows(self.path("data", t, part + ".jsonl"), shuffled(rows_of(os.path.join(o.targets, t, part + ".jsonl")), part)[:n])

    def train(self, name, rows, after=(), seed=0):
        return self.add("train/" + name, ["train", "--model", self.o.model, "--data", rows, "--out", self.path("train", name), "--lr",
                                          self.o.lr, "--batch", 4, "--epochs", 1, "--schedule", "linear", "--warmup", "10%",
                                          "--max-tokens", self.o.max_tokens, "--max-target", self.o.max_tokens // 2, "--seed", seed], after)

    def score(self, name, target, part, after):
        out = self.path("score", f"{name}--{target}--{part}.jsonl")
        adapter = ["--adapter", self.path("train", name)] if name != "zero-shot" else []
        return self.add(f"score/{name}/{target}/{part}", ["score", "--model", self.o.model, "--rows", self.path("data", target, part + ".jsonl"),
                                                           "--max-tokens", 2 * self.o.max_tokens, "--out", out] + adapter, after)

    def loss(self, name, target, part):
        return [r["nll"] / r["tokens"] for r in rows_of(self.path("score", f"{name}--{target}--{part}.jsonl"))]

    def accuracy(self, name, target):
        right = []
        for row, s in zip(rows_of(self.path("data", target, "test.jsonl")), rows_of(self.path("score", f"{name}--{target}--test.jsonl"))):
            nll = [c["nll"] for c in s.get("choices", [])]
            if nll:
                right.append(float(row["choices"][nll.index(min(nll))] == row["target"]))
        return mean(right) if right else float("nan")

    def rows_file(self, name, tasks):
        path = self.path("rows", name + ".jsonl")
        if not os.path.exists(path):
            write_rows(path, shuffled([r for t in sorted(tasks) for r in self.tasks[t]], "order"))
        return path


def estimates(lab, o):
    """Gradients at the model trained on everything; estimates of the subsets; the subsets trained for real."""
    pool = lab.path("pool.jsonl")
    everything = lab.train("all", lab.rows_file("all", lab.tasks))
    grad = ["grad", "--model", o.model, "--adapter", lab.path("train", "all"), "--quantity", "margin", "--project", o.project,
            "--max-tokens", o.max_tokens]
    lab.add("grad/pool", grad + ["--pool", pool, "--out", lab.path("grad", "pool")], [everything])
    for t in lab.names_of:
        lab.add("grad/" + t, grad + ["--pool", lab.path("data", t, "validation.jsonl"), "--out", lab.path("grad", t)], [everything])
    rng = random.Random("subsets")
    subsets = [sorted(rng.sample(sorted(lab.tasks), len(lab.tasks) // 2)) for _ in range(o.subsets)]
    with open(lab.path("subsets.txt"), "w") as f:
        f.writelines(json.dumps(s) + "\n" for s in subsets)
    for t in lab.names_of:
        common = ["estimate", "--store", lab.path("grad", "pool"), "--target", lab.path("grad", t), "--subsets", lab.path("subsets.txt")]
        after = ["grad/pool", "grad/" + t]
        for mode, extra in MODES.items():
            lab.add(f"estimate/{t}/{mode}", common + extra + ["--out", lab.path("estimate", f"{t}-{mode}.jsonl")], after)
        lab.add(f"estimate/{t}/forward", common + MODES["clean"] + ["--evaluate", "forward", "--scale", o.scale, "--model", o.model, "--adapter",
                lab.path("train", "all"), "--target-rows", lab.path("data", t, "validation.jsonl"), "--max-tokens", o.max_tokens,
                "--out", lab.path("estimate", f"{t}-forward.jsonl")], after)
    for t in lab.names_of:
        lab.score("zero-shot", t, "test", [])
        lab.score("all", t, "test", [everything])
        lab.score("all", t, "validation", [everything])
    for i, s in enumerate(subsets):
        job = lab.train(f"subset-{i:03d}", lab.rows_file(f"subset-{i:03d}", s))
        for t in lab.names_of:
            lab.score(f"subset-{i:03d}", t, "validation", [job])
    for seed in range(1, o.seeds):
        for i, s in enumerate(subsets):
            name = f"subset-{i:03d}-{seed}"
            job = lab.train(name, lab.rows_file(f"subset-{i:03d}", s), seed=seed)
            for t in lab.names_of:
                lab.score(name, t, "validation", [job])
    return subsets


def subset_names(lab, i):
    """The finished trainings of a subset: one a seed."""
    names = [f"subset-{i:03d}"] + [f"subset-{i:03d}-{s}" for s in range(1, lab.o.seeds)]
    return [n for n in names if all(lab.done(f"score/{n}/{t}/validation") for t in lab.names_of)]


def true_loss(lab, i, target):
    return mean([mean(lab.loss(n, target, "validation")) for n in subset_names(lab, i)])


def agreement(lab, finished, target):
    """Mean rank correlation of two seeds' true losses: what no estimate of one training can exceed by much. None with one seed."""
    by_seed = list(zip(*[[mean(lab.loss(n, target, "validation")) for n in subset_names(lab, i)] for i in finished]))
    pairs = [spearman(a, b) for k, a in enumerate(by_seed) for b in by_seed[:k]]
    return mean(pairs) if pairs else None


def selections(lab, o):
    """Every method chooses half of the rows for every target; a model is trained on them."""
    half = len(lab.tasks) // 2
    budget = half * o.each
    lab.add("pool", ["pool", "build", lab.path("pool.jsonl"), "--out", lab.path("pool")])
    lab.add("embed/pool", ["embed", "--model", o.encoder, "--pool", lab.path("pool"), "--out", lab.path("stores", "pool")], ["pool"])
    arms = []
    for t in lab.names_of:
        lab.add("embed/" + t, ["embed", "--model", o.encoder, "--pool", lab.path("data", t, "query.jsonl"), "--out", lab.path("stores", t)])
        grads = ["--store", lab.path("grad", "pool"), "--queries", lab.path("grad", t)]
        ways = {"gradex-re": grads + ["--keep", half, "--subsets", o.random], "gradex-fs": grads + ["--search", "forward"], "less": grads,
                "dsir": ["--queries", lab.path("data", t, "query.jsonl")], "bm25": ["--queries", lab.path("data", t, "query.jsonl")],
                "deft": ["--store", lab.path("stores", "pool"), "--queries", lab.path("stores", t)]}
        for way, extra in ways.items():
            out = lab.path("select", f"{way}-{t}.jsonl")
            pick = lab.add(f"select/{way}/{t}", ["select", "--strategy", way, "--pool", lab.path("pool"), "--budget", budget, "--out", out] + extra,
                           ["pool", "embed/pool", "embed/" + t, "grad/pool", "grad/" + t])
            job = lab.train(f"{way}-{t}", out, [pick])
            lab.score(f"{way}-{t}", t, "test", [job])
            arms.append((way, t, f"{way}-{t}", out))
    for s in range(3):
        some = random.Random(f"random/{s}").sample(sorted(lab.tasks), half)
        rows = lab.rows_file(f"random-{s}", some)
        job = lab.train(f"random-{s}", rows)
        for t in lab.names_of:
            lab.score(f"random-{s}", t, "test", [job])
            arms.append((f"random-{s}", t, f"random-{s}", rows))
    return arms


def oracle(lab, target):
    """Forward selection as published, one pass over the tasks, every candidate trained for real."""
    kept, best, runs = [], None, []
    for i, t in enumerate(sorted(lab.tasks)):
        name = f"oracle-{target}-{i:02d}"
        job = lab.train(name, lab.rows_file(name, kept + [t]))
        lab.score(name, target, "validation", [job])
        lab.run()
        if not lab.done(f"score/{name}/{target}/validation"):
            return None
        runs.append(lab.cost("train/" + name)[0])
        loss = mean(lab.loss(name, target, "validation"))
        if best is None or loss <= best[0]:
            kept, best = kept + [t], (loss, name)
    test = lab.score(best[1], target, "test", ["train/" + best[1]])
    lab.run()
    return (best[1], kept, sum(runs)) if lab.done(test) else None


def true_ensemble(lab, subsets, arms):
    """The random ensemble of the subsets that were trained for real: the half of the tasks with the smallest mean true loss."""
    if not all(subset_names(lab, i) for i in range(len(subsets))):
        return
    for t in lab.names_of:
        truth = [true_loss(lab, i, t) for i in range(len(subsets))]
        score = {k: mean([x for s, x in zip(subsets, truth) if k in s]) for k in lab.tasks}
        name = f"true-ensemble-{t}" + (f"-{lab.o.seeds}" if lab.o.seeds > 1 else "")
        rows = lab.rows_file(name, sorted(score, key=score.get)[: len(lab.tasks) // 2])
        lab.score(name, t, "test", [lab.train(name, rows)])
        arms.append(("true random ensemble", t, name, rows))
    lab.run()


def operations(lab, o, finished):
    """The same in operations of the model: 4 a parameter and token where weights are frozen and gradients pass through (training a LoRA,
    gradients of it). What the regressions add is under a thousandth of that. Target rows' tokens by their characters."""
    info = json.loads(subprocess.run([o.winnow, "model", "info", o.model, "--json"], capture_output=True, text=True, check=True).stdout)
    tokens = [json.load(open(lab.path("train", f"subset-{i:03d}", "train.json")))["tokens"] for i in finished]
    whole = json.load(open(lab.path("train", "all", "train.json")))["tokens"]
    size = {p: sum(len(r["prompt"]) + len(r["target"]) for r in rows_of(p)) for p in
            [lab.path("pool.jsonl")] + [lab.path("data", t, "validation.jsonl") for t in lab.names_of]}
    target = whole * mean([size[lab.path("data", t, "validation.jsonl")] for t in lab.names_of]) / size[lab.path("pool.jsonl")]
    tera = 4 * info["parameters"] / 1e12
    real, est = o.random * mean(tokens) * tera, (2 * whole + target) * tera
    return (f"In floating-point operations: one true subset training {mean(tokens) * tera:.1f} T; training on everything {whole * tera:.1f} T, gradients "
            f"of its rows as many, of a target's {target * tera:.1f} T. {o.random} subsets for real {real:.0f} T, by estimate {est:.0f} T: {real / est:.0f} times fewer.\n")


def report(lab, o, subsets, arms, oracles):
    results, body = [], []
    finished = [i for i in range(len(subsets)) if subset_names(lab, i)]
    sizes = [sum(len(r["target"]) + len(r["prompt"]) for t in s for r in lab.tasks[t]) for s in subsets]
    for t in lab.names_of:
        truth = [true_loss(lab, i, t) for i in finished]
        start = mean(lab.loss("all", t, "validation"))
        cells = [t, len(finished), f"{min(truth):.3f} - {max(truth):.3f}"]
        r = {"target": t, "true": [round(x, 5) for x in truth], "start": round(start, 5), "subsets": [subsets[i] for i in finished]}
        for kind in list(MODES) + ["forward"]:
            if not lab.done(f"estimate/{t}/{kind}"):
                cells.append("")
                continue
            lines = rows_of(lab.path("estimate", f"{t}-{kind}.jsonl"))
            est = [lines[i]["estimate"] for i in finished]
            rng = random.Random(0)
            draws = sorted(spearman([est[j] for j in d], [truth[j] for j in d]) for d in
                           ([rng.randrange(len(est)) for _ in est] for _ in range(1000)))
            r[kind] = {"estimates": [round(e, 6) for e in est], "spearman": round(spearman(est, truth), 4), "ci95": [round(draws[25], 3), round(draws[974], 3)]}
            if kind == "forward":
                r[kind]["relative_error"] = mean([abs(e - x) / x for e, x in zip(est, truth)])
                r[kind]["squared_error"] = mean([((e - x) / x) ** 2 for e, x in zip(est, truth)])
            cells.append(f"{r[kind]['spearman']:+.2f} [{draws[25]:+.2f}, {draws[974]:+.2f}]")
        r["zero_order"] = {"relative_error": mean([abs(start - x) / x for x in truth]), "squared_error": mean([((start - x) / x) ** 2 for x in truth])}
        r["size_only_spearman"] = round(spearman([-sizes[i] for i in finished], truth), 4)
        r["seeds"] = [len(subset_names(lab, i)) for i in finished]
        r["seeds_spearman"] = agreement(lab, finished, t)
        cells += [f"{r['size_only_spearman']:+.2f}", f"{r['seeds_spearman']:+.2f}" if r["seeds_spearman"] is not None else ""]
        e = r.get("forward")
        cells += [f"{100 * e['relative_error']:.1f} % / {100 * e['squared_error']:.2f} %" if e else "",
                  f"{100 * r['zero_order']['relative_error']:.1f} % / {100 * r['zero_order']['squared_error']:.2f} %"]
        results.append(r)
        body.append(cells)
    text = "## estimates against true training (Spearman, 95 % interval; loss on validation rows)\n\n"
    text += table(["target", "subsets trained", "true losses"] + list(MODES) + ["forward", "size only", "one seed with another", "error of forward: relative / squared",
                                                                                  "of predicting the start"], body)
    g = {}
    for way, t, name, rows in arms:
        if lab.done(f"score/{name}/{t}/test"):
            g.setdefault("random" if way.startswith("random-") else way, {}).setdefault(t, []).append(name)
    for t, (name, kept, cpu) in oracles.items():
        g.setdefault("true forward selection", {})[t] = [name]
        results.append({"oracle": t, "kept": kept, "train_cpu_seconds": cpu})
    for name in ("zero-shot", "all"):
        g[name] = {t: [name] for t in lab.names_of if lab.done(f"score/{name}/{t}/test")}
    body = []
    for way, per in g.items():
        cells = []
        for t in lab.names_of:
            if t not in per:
                cells.append("")
                continue
            acc, loss = mean([lab.accuracy(n, t) for n in per[t]]), [mean(x) for x in zip(*[lab.loss(n, t, "test") for n in per[t]])]
            low, high = interval(loss)
            results.append({"arm": way, "target": t, "accuracy": acc, "loss": mean(loss), "loss_ci95": [low, high]})
            cells.append(f"{acc:.3f} / {mean(loss):.3f}")
        full = [x for x in results if x.get("arm") == way]
        cells.append(f"{mean([x['accuracy'] for x in full]):.4f} / {mean([x['loss'] for x in full]):.4f}" if len(full) == len(lab.names_of) else "")
        body.append([way] + cells)
    text += "\n## models trained on the choice: accuracy / loss on test rows\n\n" + table(["arm"] + lab.names_of + ["mean"], body)
    trains = [lab.cost(f"train/subset-{i:03d}")[0] for i in finished]
    if trains and lab.done("grad/pool"):
        grads = lab.cost("grad/pool")[0] + mean([lab.cost("grad/" + t)[0] for t in lab.names_of])
        est = mean([lab.cost(f"estimate/{t}/clean")[0] for t in lab.names_of])
        text += (f"\nCPU seconds: one true subset training {mean(trains):.1f}; all gradients for a target {grads:.1f}, once; {len(subsets)} estimates {est:.2f}. "
                 f"{o.random} subsets for real would cost {o.random * mean(trains):.0f}, by estimate {lab.cost('train/all')[0] + grads + est * o.random / len(subsets):.0f} "
                 f"with the training on all of it: {o.random * mean(trains) / (lab.cost('train/all')[0] + grads + est * o.random / len(subsets)):.0f} times less.\n")
        text += operations(lab, o, finished)
    write_rows(lab.path("results.jsonl"), results)
    with open(lab.path("table.md"), "w") as f:
        f.write(text)
    dots = [(r["target"], list(zip(r["clean"]["estimates"], r["true"]))) for r in results if "clean" in r]
    for name, ps in dots:
        plot(lab.path(f"estimate-{name}.svg"), f"{name}: estimates of {len(ps)} subsets", "estimate (clean)", "loss after true training", [(name, ps)], lines=False)
    print(text)


def main():
    o = options()
    lab = Tasks(o)
    subsets = estimates(lab, o)
    arms = selections(lab, o)
    oracles = {}
    lab.still = o.report
    try:
        lab.run()
        true_ensemble(lab, subsets, arms)
        for t in [t for t in o.oracle.split(",") if t]:
            found = oracle(lab, t)
            if found:
                oracles[t] = found
    finally:
        if all(lab.done(f"score/all/{t}/validation") for t in lab.names_of):
            report(lab, o, subsets, arms, oracles)


main()
