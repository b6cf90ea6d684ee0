"""Exact search beside faiss's flat indexes, in one run: a JSON line a case.

    python bench/search.py [--vectors FILE.npy] [--rows N] [--only NAME] [--repeats R] [--dir DIR] [--make]

needs numpy and faiss-cpu, and `make build/bench/bench_search`. --vectors: embeddings of real rows, tiled up with
small noise; without it that case is skipped and says so. `ratio` is faiss's median over ours when codes are made
anew, `ratio_kept` when they are read from a file; `recall` compares both with float64 scores of some of the
queries, and anything but 1 fails the run. --dir keeps the vectors for the next run, --make only makes them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import faiss
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def gaussian(path, n, d, seed):
    rng = np.random.default_rng(seed)
    if os.path.exists(path):
        return np.load(path, mmap_mode="r")
    out = np.lib.format.open_memmap(path, mode="w+", dtype="<f4", shape=(n, d))
    for s in range(0, n, 50000):
        m = min(50000, n - s)
        out[s : s + m] = rng.standard_normal((m, d), dtype=np.float32)
    return out


def tiled(path, vectors, n, seed):
    rng = np.random.default_rng(seed)
    if os.path.exists(path):
        return np.load(path, mmap_mode="r")
    out = np.lib.format.open_memmap(path, mode="w+", dtype="<f4", shape=(n, vectors.shape[1]))
    for s in range(0, n, len(vectors)):
        m = min(len(vectors), n - s)
        out[s : s + m] = vectors[:m] + rng.standard_normal((m, vectors.shape[1]), dtype=np.float32) * 0.01
    return out


def peer(rows, queries, k, metric, repeats):
    index = (faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP)(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    sec = []
    for _ in range(repeats):
        t = time.perf_counter()
        index.search(queries, k)
        sec.append(time.perf_counter() - t)
    return statistics.median(sec)


def recall(rows, queries, answers, k, metric, which):
    """The least share of the exact answer that one of the answers [m, k] has; by score, so that ties do not count."""
    right = [0] * len(answers)
    for q in which:
        score = np.empty(len(rows))
        for s in range(0, len(rows), 100000):
            x = rows[s : s + 100000].astype(np.float64)
            y = queries[q].astype(np.float64)
            score[s : s + len(x)] = -((x - y) ** 2).sum(1) if metric == "l2" else x @ y
        kth = np.partition(score, len(score) - k)[len(score) - k]
        for i, found in enumerate(answers):
            right[i] += int((score[found[q]] >= kth - abs(kth) * 1e-12).sum())
    return min(right) / (k * len(which))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--vectors")
    p.add_argument("--rows", type=int, default=1000000)
    p.add_argument("--only")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--dir")
    p.add_argument("--make", action="store_true")
    a = p.parse_args()
    tool = os.path.join(ROOT, os.environ.get("BUILD", "build"), "bench", "bench_search")
    cases = [("gaussian 384", 384, a.rows, 1000, "l2"), ("gaussian 384 ip", 384, a.rows, 1000, "ip"),
             ("gaussian 2048", 2048, a.rows // 5, 1000, "l2")]
    cases += [("gaussian 384, 32 queries", 384, a.rows, 32, "l2")]
    cases += [("real", 0, a.rows, 1000, "l2"), ("real, 32 queries", 0, a.rows, 32, "l2")]
    bad = False
    with tempfile.TemporaryDirectory() as scratch:
        top = a.dir or scratch
        for name, d, n, m, metric in cases:
            if a.only and a.only != name:
                continue
            if not d and not a.vectors:
                print(json.dumps({"case": name, "skipped": "no --vectors"}))
                continue
            rows_path = os.path.join(top, f"{d or 'real'}-{n}.npy")
            query_path, out = os.path.join(scratch, "query.npy"), os.path.join(scratch, "out.bin")
            if d:
                rows = gaussian(rows_path, n, d, 1)
                queries = np.random.default_rng(2).standard_normal((m, d), dtype=np.float32)
            else:
                v = np.load(a.vectors)
                rows = tiled(rows_path, v[:-1000], n, 1)
                queries = np.ascontiguousarray(v[-1000:][:m])
            if a.make:
                continue
            np.save(query_path, queries)
            k = 500
            command = [tool, rows_path, query_path, str(k), metric, str(a.repeats), out]
            ours, answers = [], []
            for codes in [], [rows_path + ".codes"]:
                ours.append(json.loads(subprocess.check_output(command + codes)))
                answers.append(np.fromfile(out, dtype="<i8").reshape(m, k))
            right = recall(rows, queries, answers, k, metric, range(0, m, max(1, m // 5)))
            theirs = peer(rows, queries, k, metric, a.repeats)
            bad |= right != 1
            print(json.dumps({"case": name, "rows": len(rows), "d": rows.shape[1], "queries": m, "k": k,
                              "sec": ours[0]["median"], "sec_kept": ours[1]["median"],
                              "codes_sec": ours[1]["codes_sec"], "memory_mb": ours[0]["memory_mb"],
                              "scan": ours[0]["scan"], "threads": ours[0]["threads"], "faiss": round(theirs, 4),
                              "ratio": round(theirs / ours[0]["median"], 2),
                              "ratio_kept": round(theirs / ours[1]["median"], 2), "recall": right}), flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
