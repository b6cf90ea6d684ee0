"""What the comparisons share: rows, timing of alternating runs, one JSON line a case."""
import gzip
import json
import os
import statistics
import subprocess
import time


def read_rows(path):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(
        path, encoding="utf-8")
    with opened as f:
        return [json.loads(line) for line in f]


def threads(asked):
    return asked or len(os.sched_getaffinity(0))


def cpu_name():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command_seconds(args):
    """Wall time of a whole process, its start and loading included."""
    start = time.perf_counter()
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def alternate(cases, rounds):
    """Runs each case once a round, in turn; name -> median seconds. A first round warms up."""
    taken = {name: [] for name in cases}
    for n in range(rounds + 1):
        for name, work in cases.items():
            sec = work()
            if n:
                taken[name].append(sec)
    return {name: statistics.median(s) for name, s in taken.items()}


def report(**fields):
    print(json.dumps(fields), flush=True)
