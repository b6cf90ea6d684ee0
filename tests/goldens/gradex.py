"""Regressions of GradEx as scikit-learn's liblinear and a float64 Newton in NumPy solve them. Writes gradex/."""
import json
import os

import numpy as np
from sklearn.linear_model import LogisticRegression

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gradex")
TASKS = ["add", "bool q", "cause", "dates", "emoji, sad", "fables"]
D = 6


def softplus(x):
    return np.logaddexp(0, x)


def newton(x, f, scale, l2):
    """argmin of scale * sum log(1 + exp(-(f + x w))) + l2 / 2 |w|^2, gradient below 1e-13."""
    w = np.zeros(x.shape[1])
    for _ in range(200):
        p = 1 / (1 + np.exp(f + x @ w))
        g = -scale * x.T @ p + l2 * w
        if np.linalg.norm(g) < 1e-13:
            break
        w -= np.linalg.solve(scale * x.T @ (x * (p * (1 - p))[:, None]) + l2 * np.eye(len(w)), g)
    assert np.linalg.norm(g) < 1e-11, np.linalg.norm(g)
    return w


def liblinear(x, c, intercept):
    # two classes by alternating signs: without an intercept they cancel
    s = np.where(np.arange(len(x)) % 2, 1, -1)
    m = LogisticRegression(C=c, solver="liblinear", tol=1e-10, max_iter=10000, fit_intercept=intercept)
    return m.fit(x * s[:, None], s).coef_[0]


def main():
    rng = np.random.default_rng(20240919)
    os.makedirs(OUT, exist_ok=True)
    task = np.array([(i * i + i // 6) % 6 for i in range(90)])
    centre = rng.normal(size=(6, D))
    x = (rng.normal(size=(90, D)) + centre[task]).astype(np.float32)
    f = rng.normal(size=90, scale=1.5).astype(np.float32)
    v = (rng.normal(size=(25, D)) + 0.5 * centre[0] - 0.3 * centre[3]).astype(np.float32)
    fv = rng.normal(size=25).astype(np.float32)
    for name, m, g, t in (("rows", f, x, task), ("target", fv, v, np.zeros(25, int))):
        np.save(os.path.join(OUT, name + ".npy"), g)
        with open(os.path.join(OUT, name + ".jsonl"), "w") as out:
            for i in range(len(m)):
                row = {"id": f"{name}{i}", "task": TASKS[t[i]] if name == "rows" else "goal", "margin": float(m[i])}
                out.write(json.dumps(row) + "\n")
    subsets = [[0], [0, 1], [1, 2, 4], [0, 1, 2, 3, 4], [2], [0, 4]]
    x, f, v, fv = (a.astype(np.float64) for a in (x, f, v, fv))
    cases = []

    def case(options, fit):
        estimates, norms = [], []
        for s in subsets:
            i = np.isin(task, s)
            w = fit(x[i], f[i])
            estimates.append(float(softplus(-(fv + v @ w)).mean()))
            norms.append(float(np.linalg.norm(w)))
        cases.append({"options": options, "estimate": estimates, "norm": norms})

    for r in (1.0, 0.01, 1e-4):
        case({"mode": "clean", "ridge": repr(r)}, lambda a, b: newton(a, b, 1 / len(a), 2 * r))
    for c in (1e-4, 0.06, 1.0):
        case({"mode": "ref", "c": c}, lambda a, b: liblinear(a, c, False))
    present = sorted({int(t) for t in task})
    assert all(t in present for s in subsets for t in s), present
    case({"mode": "step", "step_size": 0.7}, lambda a, b: 0.7 * (a / (1 + np.exp(b))[:, None]).mean(0))
    with open(os.path.join(OUT, "expected.json"), "w") as out:
        json.dump({"tasks": TASKS, "subsets": [[TASKS[t] for t in s] for s in subsets],
                   "start": float(softplus(-fv).mean()), "cases": cases}, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
