"""Subsets a second: winnow estimate beside scikit-learn's liblinear, as GradEx's authors call it.

1000 subsets of 19 of 38 tasks, 20,000 rows, d = 100. scikit-learn solves a sample of the same subsets (reference
objective without intercept, C = 1e-4, two classes by signs); winnow solves all of them, in that mode and in its own
(clean, ridge 0.01), timed as a whole process: opening stores, groups' sums, fits, the target's losses, output.

    python bench/estimate.py [build/winnow]
"""
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from sklearn.linear_model import LogisticRegression

N, D, T, M, Q, SAMPLE, TARGET = 20000, 100, 38, 1000, 19, 12, 1000


def main():
    winnow = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/winnow")
    rng = np.random.default_rng(0)
    task = np.arange(N) % T
    x = (rng.normal(size=(N, D)) + 0.3 + 0.2 * rng.normal(size=(T, D))[task]).astype(np.float32)
    v = (rng.normal(size=(TARGET, D)) + 0.3).astype(np.float32)
    subsets = [sorted(rng.choice(T, Q, replace=False).tolist()) for _ in range(M)]
    with tempfile.TemporaryDirectory() as tmp:
        os.chdir(tmp)
        for name, g, t in (("rows", x, task), ("target", v, np.zeros(TARGET, int))):
            np.save(name + ".npy", g)
            with open(name + ".jsonl", "w") as out:
                for i in range(len(g)):
                    margin = float(np.float32(rng.normal(1, 2)))
                    out.write(json.dumps({"id": f"{name}{i}", "task": f"t{t[i]:02d}", "margin": margin}) + "\n")
            subprocess.run([winnow, "import", name + ".npy", "--ids", name + ".jsonl", "--out", name, "--quiet"], check=True)
        with open("subsets", "w") as out:
            out.write("".join(" ".join(f"t{t:02d}" for t in s) + "\n" for s in subsets))
        fv = np.array([json.loads(line)["margin"] for line in open("target.jsonl")])
        expected, start = [], time.time()
        for s in subsets[:SAMPLE]:
            rows = x[np.isin(task, s)].astype(np.float64)
            sign = np.where(rng.random(len(rows)) < 0.7, 1, -1)
            m = LogisticRegression(C=1e-4, solver="liblinear", max_iter=100, fit_intercept=False)
            w = m.fit(rows * sign[:, None], sign).coef_[0]
            expected.append(np.logaddexp(0, -(fv + v.astype(np.float64) @ w)).mean())
        peer = (time.time() - start) / SAMPLE
        for mode, options in (("ref", ["--c", "1e-4"]), ("clean", ["--ridge", "0.01"])):
            start = time.time()
            subprocess.run([winnow, "estimate", "--store", "rows", "--target", "target", "--subsets", "subsets", "--mode",
                            mode, *options, "--out", mode, "--quiet"], check=True)
            ours = (time.time() - start) / M
            got = [json.loads(line) for line in open(mode)]
            line = {"case": f"estimate {mode}", "ms_per_subset": round(1e3 * ours, 3),
                    "sklearn_ms_per_subset": round(1e3 * peer, 1), "ratio": round(peer / ours, 1),
                    "largest_gradient": max(g["gradient"] for g in got),
                    "iterations": sum(g["iterations"] for g in got) / M}
            if mode == "ref":
                line["largest_difference"] = max(abs(g["estimate"] - e) for g, e in zip(got, expected))
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
