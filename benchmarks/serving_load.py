"""Requests per second of one server, and how long they take, under clients that ask without a pause.

A server is started for a model folder (``--folder=DIR``) in a process of its own and asked by ``--clients`` threads of
a second process for ``--seconds``. Each request has a history of one to ``--length`` random items.
"""

import http.client
import json
import multiprocessing
import random
import re
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
from common import main


def measure(folder, clients=16, seconds=60, length=20, k=10, why=True, threads=None) -> dict:
    """Return throughput, times, errors and memory.

    Args:
        folder: a folder that export wrote.
        clients: how many requests are under way.
        seconds: how long.
        length: items of the longest history.
        k: recommendations per request.
        why: whether the parts of the scores are asked for.
        threads: threads of the model's computations; the server's default when left out.
    """
    command = [sys.executable, "-m", "recbole_mpo", "serve", f"model={folder}", "--port=0", "--max_queue=1000"]
    command += [f"--threads={threads}"] * (threads is not None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output = process.stdout.readline() + process.stdout.readline()
            port = int(re.search(r":(\d+)/", output)[1])
            asked = {"k": k, "why": why}
            settings = (port, clients, length, asked)
            # The first answers are slower, and not counted.
            in_other_process(load, *settings, 3)
            server = psutil.Process(process.pid)
            memory, processor = [server.memory_info().rss / 2**20], sum(server.cpu_times()[:2])
            times, statuses, elapsed = in_other_process(load, *settings, seconds)
            memory.append(server.memory_info().rss / 2**20)
            processor = sum(server.cpu_times()[:2]) - processor
            batches = batch_size(port)
        finally:
            process.terminate()
            process.wait(30)
    return {
        "requests_per_second": len(times) / elapsed,
        "milliseconds": {f"p{part}": float(np.percentile(times, part)) * 1000 for part in (50, 95, 99)},
        # Other programs on the machine change this less than the rest.
        "processor_milliseconds_per_request": processor / len(times) * 1000,
        "requests": len(times),
        "errors": sum(count for status, count in statuses.items() if status != 200),
        "statuses": {str(status): count for status, count in statuses.items()},
        "mean_batch": batches,
        "memory_mb": {"begin": memory[0], "end": memory[1]},
        "exit_code": process.returncode,
        "settings": {"clients": clients, "seconds": seconds, "length": length, **asked, "threads": threads},
        "processors_busy_before": psutil.getloadavg()[0],
    }


def in_other_process(function, *arguments):
    """Return a function's answer, computed in a process of its own: clients share no lock with this one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def load(port: int, clients: int, length: int, asked: dict, seconds: float):
    """Return the seconds of all requests, their number by status, and the seconds that passed."""
    items = json.loads(get(port, "/items?limit=100"))["items"]
    tokens = [item["item"] for item in items]
    times, statuses, end = [], {}, time.perf_counter() + seconds
    lock = threading.Lock()

    def client(seed: int):
        draw, connection = random.Random(seed), http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.perf_counter() < end:
            history = draw.choices(tokens, k=draw.randint(1, length))
            begin = time.perf_counter()
            connection.request(
                "POST", "/recommend", json.dumps({"history": history, **asked}), {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            answer.read()
            with lock:
                times.append(time.perf_counter() - begin)
                statuses[answer.status] = statuses.get(answer.status, 0) + 1

    begin = time.perf_counter()
    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, statuses, time.perf_counter() - begin


def get(port: int, path: str) -> bytes:
    """Return the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    return connection.getresponse().read()


def batch_size(port: int) -> float:
    """Return the mean number of requests that were answered together."""
    text = get(port, "/metrics").decode()
    found = [re.search(rf"recbole_mpo_batch_size_{part}{{.*}} (\S+)", text) for part in ("sum", "count")]
    total, count = (float(match[1]) for match in found)
    return total / count


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
