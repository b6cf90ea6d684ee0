"""Writes deft.json: DEFT's selection by plain NumPy in float64, on vectors with ties and duplicates.

Run by hand (pip install numpy):  python3 tests/goldens/deft.py
Rows and queries are small whole numbers, so distances are exact and equal ones are equal. For every query all
rows are ordered by distance, ties by row; the union of the first k of each, how many queries have a row, and
the best-scored hit of it (ties to the smaller query). Where the union is too large for the budget, every
query's last hit is dropped until it fits; if one hit a query is still too many, the best-scored rows stay
(ties to the smaller row) until the first that does not fit.
"""
import json, os
import numpy as np

N, D, Q = 120, 4, 9
rng = np.random.default_rng(20221201)
rows = rng.integers(-2, 3, (N, D))
rows[60:80] = rows[20:40]  # duplicates, and rows that are queries
queries = rng.integers(-2, 3, (Q, D))
queries[7] = queries[2]
rows[100:104] = queries[:4]
task = np.arange(N) % 7
tokens = 10 + np.arange(N) % 7
x, y = rows.astype(np.float64), queries.astype(np.float64)


def order(metric):
    cost = ((y[:, None] - x[None]) ** 2).sum(-1) if metric == "l2" else -(y @ x.T)
    return cost, np.array([np.lexsort((np.arange(N), c)) for c in cost])


def union(cost, lists, k):
    picks = {}
    for q in range(Q):
        for rank, row in enumerate(lists[q][:k]):
            c = cost[q, row]
            if row not in picks:
                picks[row] = [0, c, q, rank + 1]
            p = picks[row]
            p[0] += 1
            if c < p[1]:
                p[1:] = [c, q, rank + 1]
    return picks


def select(metric, k, budget, weight):
    cost, lists = order(metric)
    used, best_only = k, False
    picks = union(cost, lists, used)
    while budget and sum(weight[r] for r in picks) > budget:
        if used == 1:
            best_only, kept, sum_ = True, {}, 0
            for r in sorted(picks, key=lambda r: (picks[r][1], r)):
                if sum_ + weight[r] > budget:
                    break
                kept[r] = picks[r]
                sum_ += weight[r]
            picks = kept
            break
        used -= 1
        picks = union(cost, lists, used)
    sign = 1 if metric == "l2" else -1
    steps = [s for s in (1, 2, 5, 10, 20, 50, 100) if s <= k]
    return {"used": used, "best_only": best_only,
            "picks": [[int(r), p[0], p[2], p[3], sign * p[1] + 0.0] for r, p in sorted(picks.items())],
            "by_k": [[s, len(union(cost, lists, s)),
                      [int(sum(task[r] == t for r in union(cost, lists, s))) for t in range(7)]]
                     for s in steps]}


cases = []
for metric in ("l2", "ip"):
    for k in (1, 4, 17, N):
        cases.append({"metric": metric, "k": k, **select(metric, k, 0, np.ones(N))})
        for budget in (2, 5, 9, 30, 64):
            cases.append({"metric": metric, "k": k, "budget": budget, **select(metric, k, budget, np.ones(N))})
        for budget in (25, 180, 700):
            cases.append({"metric": metric, "k": k, "budget_tokens": budget,
                          **select(metric, k, budget, tokens)})
out = {"rows": rows.tolist(), "queries": queries.tolist(), "tasks": 7, "cases": cases}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "deft.json")
with open(path, "w") as f:
    f.write(json.dumps(out, separators=(",", ":")).replace('{"metric"', '\n{"metric"') + "\n")
