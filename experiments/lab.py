"""What the experiments share: commands of winnow as jobs that run once, statistics, tables and plots.

A job is a command with a name. Finished jobs leave a stamp in OUT/done with the command they ran, so the same call
goes on after a kill; a job whose command has changed is refused by name instead of being mixed with old results.
Python's standard library only.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time


def rows_of(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def write_rows(path, rows):
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    tmp = path + ".tmp"
    with open(tmp, "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(tmp, path)


def shuffled(rows, word):
    """Rows in an order that depends on their ids and `word` alone."""
    return sorted(rows, key=lambda r: hashlib.sha256(f"{word}/{r['id']}".encode()).digest())


class Lab:
    def __init__(self, out, winnow, jobs, threads):
        self.out, self.winnow, self.workers, self.threads = out, winnow, jobs, threads
        self.jobs, self.names = [], {}
        self.lock = threading.Lock()
        self.failed = None
        self.still = False  # only look at what is finished
        for d in ("done", "logs"):
            os.makedirs(os.path.join(out, d), exist_ok=True)

    def path(self, *parts):
        p = os.path.join(self.out, *parts)
        os.makedirs(os.path.dirname(p), exist_ok=True)
        return p

    def stamp(self, name):
        return self.path("done", name.replace("/", "_") + ".json")

    def add(self, name, args, after=(), stdout=None):
        """`winnow ARGS` once the jobs named in `after` are finished. Jobs start in the order they were added."""
        cmd = [str(a) for a in args]
        job = {"name": name, "cmd": cmd, "after": list(after), "stdout": stdout, "state": "waits"}
        if os.path.exists(self.stamp(name)):
            done = json.load(open(self.stamp(name)))
            if done["cmd"] != cmd:
                sys.exit(f"{self.stamp(name)}: made by another command: {' '.join(done['cmd'])}")
            job["state"] = "done"
        self.jobs.append(job)
        self.names[name] = job
        return name

    def cost(self, name):
        """(CPU seconds, wall seconds) of a finished job."""
        d = json.load(open(self.stamp(name)))
        return d["cpu"], d["wall"]

    def _one(self, job):
        cmd = [self.winnow] + job["cmd"] + ["--threads", str(self.threads), "--quiet"]
        log = self.path("logs", job["name"].replace("/", "_") + ".log")
        start = time.time()
        with open(log, "w") as err, open(job["stdout"] + ".tmp" if job["stdout"] else os.devnull, "w") as out:
            p = subprocess.Popen(cmd, stdout=out, stderr=err)
            _, status, use = os.wait4(p.pid, 0)
        if status:
            last = open(log).read().strip().splitlines()
            return f"{job['name']}: {last[-1] if last else 'status %d' % status}"
        if job["stdout"]:
            os.replace(job["stdout"] + ".tmp", job["stdout"])
        stamp = {"cmd": job["cmd"], "cpu": round(use.ru_utime + use.ru_stime, 2), "wall": round(time.time() - start, 2)}
        with open(self.stamp(job["name"]) + ".tmp", "w") as f:
            json.dump(stamp, f)
        os.replace(self.stamp(job["name"]) + ".tmp", self.stamp(job["name"]))
        return None

    def _work(self):
        while True:
            with self.lock:
                if self.failed:
                    return
                ready = next((j for j in self.jobs if j["state"] == "waits"
                              and all(self.names[a]["state"] == "done" for a in j["after"])), None)
                if ready is None:
                    if all(j["state"] == "done" for j in self.jobs) or not any(j["state"] == "runs" for j in self.jobs):
                        return
                else:
                    ready["state"] = "runs"
            if ready is None:
                time.sleep(0.2)
                continue
            try:
                why = self._one(ready)
            except OSError as e:
                why = f"{ready['name']}: {e}"
            with self.lock:
                ready["state"] = "failed" if why else "done"
                self.failed = self.failed or why
                n = sum(j["state"] == "done" for j in self.jobs)
                print(f"{time.strftime('%H:%M:%S')} {n}/{len(self.jobs)} {why or ready['name']}", file=sys.stderr, flush=True)

    def run(self):
        if self.still:
            return
        crew = [threading.Thread(target=self._work) for _ in range(self.workers)]
        for t in crew:
            t.start()
        for t in crew:
            t.join()
        if self.failed:
            sys.exit(self.failed)

    def done(self, name):
        return name in self.names and self.names[name]["state"] == "done"


def mean(x):
    return sum(x) / len(x)


def interval(values, draws=2000, seed=0):
    """95 % interval of a mean over rows, by bootstrap (percentiles)."""
    rng = random.Random(seed)
    n = len(values)
    m = sorted(sum(values[rng.randrange(n)] for _ in range(n)) / n for _ in range(draws))
    return m[int(0.025 * draws)], m[int(0.975 * draws) - 1]


def sign_flip(differences, draws=2000, seed=0):
    """Two-sided p of a paired permutation test: signs of the differences flipped at random."""
    rng = random.Random(seed)
    seen = abs(sum(differences))
    hits = sum(abs(sum(d if rng.random() < 0.5 else -d for d in differences)) >= seen - 1e-12 for _ in range(draws))
    return (hits + 1) / (draws + 1)


def ranks(x):
    order = sorted(range(len(x)), key=lambda i: x[i])
    r = [0.0] * len(x)
    i = 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and x[order[j + 1]] == x[order[i]]:
            j += 1
        for k in range(i, j + 1):
            r[order[k]] = (i + j) / 2
        i = j + 1
    return r


def pearson(a, b):
    ma, mb = mean(a), mean(b)
    sab = sum((x - ma) * (y - mb) for x, y in zip(a, b))
    saa = sum((x - ma) ** 2 for x in a)
    sbb = sum((y - mb) ** 2 for y in b)
    return sab / (saa * sbb) ** 0.5 if saa > 0 and sbb > 0 else float("nan")


def spearman(a, b):
    return pearson(ranks(a), ranks(b))


def table(head, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in r) + " |" for r in rows]) + "\n"


COLOURS = ["#1f5fa8", "#c4452c", "#3a8a3e", "#8a5ab0", "#b08a2a", "#555555", "#1aa0a0", "#a83279"]


def plot(path, title, xlabel, ylabel, series, lines=True, width=640, height=400):
    """An SVG of `series`, a list of (name, [(x, y)...]); with `lines` the points of a series are joined."""
    pts = [p for _, ps in series for p in ps]
    x0, x1 = min(p[0] for p in pts), max(p[0] for p in pts)
    y0, y1 = min(p[1] for p in pts), max(p[1] for p in pts)
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1)
    y0, y1 = y0 - 0.05 * (y1 - y0), y1 + 0.05 * (y1 - y0)
    left, top, w, h = 64, 34, width - 220, height - 84

    def at(p):
        return left + (p[0] - x0) / (x1 - x0) * w, top + h - (p[1] - y0) / (y1 - y0) * h

    s = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
         f'<rect width="{width}" height="{height}" fill="white"/>',
         f'<text x="{left}" y="20" font-size="14">{title}</text>',
         f'<path d="M{left} {top}V{top + h}H{left + w}" fill="none" stroke="#444"/>']
    for i in range(5):
        y = y0 + (y1 - y0) * i / 4
        x = x0 + (x1 - x0) * i / 4
        s.append(f'<text x="{left - 6}" y="{at((x0, y))[1] + 4:.1f}" text-anchor="end">{y:.3g}</text>')
        s.append(f'<text x="{at((x, y0))[0]:.1f}" y="{top + h + 16}" text-anchor="middle">{x:.3g}</text>')
    s.append(f'<text x="{left + w / 2}" y="{height - 12}" text-anchor="middle">{xlabel}</text>')
    s.append(f'<text x="14" y="{top + h / 2}" transform="rotate(-90 14 {top + h / 2})" text-anchor="middle">{ylabel}</text>')
    for i, (name, ps) in enumerate(series):
        c = COLOURS[i % len(COLOURS)]
        if lines and len(ps) > 1:
            s.append('<path d="M' + "L".join(f"{a:.1f} {b:.1f}" for a, b in map(at, sorted(ps))) + f'" fill="none" stroke="{c}"/>')
        s += [f'<circle cx="{at(p)[0]:.1f}" cy="{at(p)[1]:.1f}" r="3" fill="{c}"/>' for p in ps]
        s.append(f'<circle cx="{left + w + 16}" cy="{top + 10 + 18 * i}" r="4" fill="{c}"/>')
        s.append(f'<text x="{left + w + 26}" y="{top + 14 + 18 * i}">{name}</text>')
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(s + ["</svg>"]) + "\n")
