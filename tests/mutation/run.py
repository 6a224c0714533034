"""Puts faults into a copy of the package, one at a time, and sees whether its tests notice.

    python tests/mutation/run.py --seed=0 --minutes=60 --log=mutants.jsonl

Each mutant meets the tests of its module first, then those of its room and all that import the module. Worker processes
have imported what the package imports and nothing of itself, and fork for each mutant: 0.5 s instead of 4 s.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from queue import Empty

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).with_name("README.md")
ROOMS = ("layers", "model", "trainer", "data")

if __name__ == "__main__":  # pytest has tests/ on its path
    sys.path.insert(0, str(ROOT / "tests"))

from mutation.bench import Bench, warm_up  # noqa: E402
from mutation.mutants import Mutant, sample_of_all  # noqa: E402
from mutation.tests_of import calling_tests, mirrored_tests, other_tests  # noqa: E402


class Workers:
    """Processes with a bench each, which do one call after the other until the time is over."""

    def __init__(self, count: int, minutes: float, root: Path = ROOT):
        self.count, self.until, self.root = count, time.monotonic() + 60 * minutes, root

    def __enter__(self):
        warm_up(self.root)
        fork = multiprocessing.get_context("fork")
        self.jobs, self.results = fork.Queue(), fork.Queue()
        self.folder = tempfile.TemporaryDirectory(prefix="mutants-")
        self.processes = [
            fork.Process(target=self._work, args=(Path(self.folder.name) / str(place),)) for place in range(self.count)
        ]
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.terminate()
            process.join()
        self.folder.cleanup()

    def _work(self, folder):
        bench = Bench(self.root, folder)
        while True:
            name, *arguments = self.jobs.get()
            self.results.put(getattr(bench, name)(*arguments))

    def results_of(self, jobs):
        """Yield the result of each call of a bench's method, as they come."""
        for job in jobs:
            self.jobs.put(job)
        missing = len(jobs)
        while missing and time.monotonic() < self.until:
            try:
                yield self.results.get(timeout=1)
                missing -= 1
            except Empty:
                if not all(process.is_alive() for process in self.processes):
                    raise RuntimeError("a worker has ended") from None


def calls_of(mutants: list[Mutant], workers: Workers, timeout: float) -> dict[str, dict]:
    """Return the functions that each test file calls which may notice one of the mutants.

    A file that fails without any mutant is told and left out: it would seem to notice them all.
    """
    modules = {mutant.module for mutant in mutants}
    tests = {test for module in modules for test in mirrored_tests(ROOT, module) + other_tests(ROOT, module)}
    calls = {}
    for result in workers.results_of([("calls", test, timeout) for test in sorted(tests)]):
        if result["calls"] is None:
            print(f"{result['test']} fails without any mutant, and is left out", flush=True)
        else:
            calls[result["test"]] = result["calls"]
    return calls


def fates_of(mutants: list[Mutant], workers: Workers, timeouts, calls: dict[str, dict]):
    """Yield what became of each mutant at the tests of its module, then, if it survived, at those of its room.

    Args:
        mutants: the mutants.
        workers: what tests them.
        timeouts: seconds for the tests of a module and for those of a room.
        calls: result of ``calls_of``.
    """
    left = set()
    jobs = []
    for mutant in mutants:
        tests = [test for test in mirrored_tests(ROOT, mutant.module) if test in calls]
        jobs.append(("fate", mutant, "module", tests, timeouts[0]))
    for fate in workers.results_of(jobs):
        if fate["fate"] == "survived":
            left.add((fate["module"], fate["start"], fate["after"]))
        yield fate
    later = [mutant for mutant in mutants if (mutant.module, mutant.start, mutant.after) in left]
    jobs = [("fate", mutant, "room", calling_tests(ROOT, mutant, calls), timeouts[1]) for mutant in later]
    yield from workers.results_of(jobs)


def listed_survivors(page: Path = PAGE) -> set[str]:
    """Return the keys of the survivors that a page explains."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return {line.removeprefix("- `").split("`: ")[0] for line in lines if line.startswith("- `")}


def table(fates: list[dict]) -> str:
    """Return a table of the fates in each room."""
    rows = [f"{'room':10}{'mutants':>9}{'killed':>8}{'survived':>10}{'timed out':>11}"]
    for room in (*ROOMS, ""):
        counts = Counter(fate["fate"] for fate in fates if fate["module"].startswith(f"{room}/" if room else ""))
        named = [counts[kind] for kind in ("killed", "survived", "timed out")]
        rows.append(f"{room or 'all':10}{sum(named):9}{named[0]:8}{named[1]:10}{named[2]:11}")
    return "\n".join(rows)


def main():
    """Run a sample; print survivors as they come, and a table at the end."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rooms", nargs="+", default=ROOMS)
    parser.add_argument("--only", default="", help="only modules whose path begins so, as layers/mpo/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=float, default=25.0, help="lines of a module per mutant")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--timeouts", type=float, nargs=2, default=(150.0, 600.0), help="seconds: module, room")
    parser.add_argument("--log", default=None, help="a JSON line for each mutant")
    options = parser.parse_args()
    mutants = sample_of_all(ROOT / "recbole_mpo", options.rooms, options.lines, options.seed)
    mutants = [mutant for mutant in mutants if mutant.module.startswith(options.only)]
    explained, last = listed_survivors(), {}
    log = open(options.log, "a", encoding="utf-8") if options.log else None
    with Workers(options.workers, options.minutes) as workers:
        calls = calls_of(mutants, workers, options.timeouts[1])
        for fate in fates_of(mutants, workers, options.timeouts, calls):
            last[fate["module"], fate["start"], fate["after"]] = fate
            if log:
                print(json.dumps(fate), file=log, flush=True)
    for fate in last.values():
        if fate["fate"] == "survived":
            print(f"{fate['key']} ({'explained' if fate['key'] in explained else 'not explained'})\n{fate['diff']}\n")
    print(table(list(last.values())))


if __name__ == "__main__":
    main()
