"""What does `primer serve` add to a request, and what do eight clients gain from one batch?

It also sends 1,000 requests of different lengths, and prints what memory the server takes.
"""

import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

from benchmarks.candidates.export import write
from benchmarks.harness import SMALL, SMOKE, draw, machine, options, write_json
from primer_tf.serving.saved_model import SavedModel

CLIENTS = 8
LENGTH = 256
TEXT = "In the beginning God created the heaven and the earth, and the earth was without form. "


def add_arguments(parser):
    """Adds the choice of the export."""
    parser.add_argument("--jit_compile", action="store_true", help="of the export, by XLA")


class Server:
    """`primer serve` as a process of its own, with a client."""

    def __init__(self, folder):
        command = [sys.executable, "-m", "primer_tf.cli", "serve", str(folder)]
        command += ["--rest_api_port=0", "--port=0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.url = re.search(r"http://(\S+)/", line)[0]
        self.connection = http.client.HTTPConnection(self.url.split("/")[2], timeout=300)

    def generate(self, prompt, new):
        """Answers a request over TensorFlow Serving's REST API."""
        body = {"signature_name": "generate", "inputs": {"prompts": [prompt], **settings(new)}}
        # The standard library's client is the fastest one.
        self.connection.request("POST", "/v1/models/bench:predict", json.dumps(body))
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        assert answer.status == 200, content
        return content["outputs"]["completions"][0]

    def complete(self, client, prompt, new):
        """Answers a request over OpenAI's API; returns the number of new tokens."""
        body = {"model": "bench", "prompt": prompt, "max_tokens": new, "temperature": 0}
        answer = client.post("v1/completions", json=body)
        answer.raise_for_status()
        return answer.json()["usage"]["completion_tokens"]

    def megabytes(self):
        """Returns the memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1e3

    def close(self):
        """Ends the process."""
        self.connection.close()
        self.process.terminate()
        self.process.wait()


def settings(new):
    """Returns the inputs of `generate` beside the prompts."""
    return {
        "max_new_tokens": [new],
        "temperature": [0.0],
        "top_k": [0],
        "top_p": [1.0],
        "repetition_penalty": [1.0],
        "seed": [0],
        "stop": [[""]],
    }


def timed(function, *arguments):
    """Returns the seconds of a call, and its result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def row(label, seconds, tokens=None):
    """Returns a row of a report."""
    seconds = sorted(seconds)
    found = {
        "candidate": label,
        "seconds": statistics.median(seconds),
        "fastest": seconds[0],
        "slowest": seconds[-1],
    }
    return {**found, **({"tokens_per_second": tokens / found["seconds"]} if tokens else {})}


def overhead(server, direct, rounds):
    """The same request over REST and as a call in this process, in alternation."""
    times = {"call in a process": [], "REST": []}
    calls = {"call in a process": direct, "REST": server.generate}
    for _ in range(20 * rounds):
        for label, call in calls.items():
            time.sleep(0.02)  # TensorFlow's threads in the other process spin for a while.
            times[label].append(timed(call, TEXT, 1)[0])
    return [row(label, seconds) for label, seconds in times.items()]


def several_clients(server, rounds, new):
    """One client and several ones in alternation; each sends one request after the other."""
    clients = [httpx.Client(base_url=server.url, timeout=300) for _ in range(CLIENTS)]

    def run(count):
        threads = [
            threading.Thread(target=server.complete, args=(client, TEXT[i:], new))
            for i, client in enumerate(clients[:count])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    times = {1: [], CLIENTS: []}
    for count in times:
        run(count)  # it may compile
    for _ in range(rounds):
        for count, seconds in times.items():
            seconds.append(timed(run, count)[0])
    for client in clients:
        client.close()
    return [
        row(f"{count} client{'s' * (count > 1)}", seconds, count * new)
        for count, seconds in times.items()
    ]


def memory(server, requests):
    """The server's memory after some requests of different lengths."""
    found = {}
    server.connection.close()  # The server has ended it by now; the next request opens another.
    for i in range(requests):
        size, new = 10 + 7 * i % len(TEXT), 1 + 5 * i % 24
        server.generate(TEXT[:size], new)
        if i + 1 in (requests // 10, requests // 4, requests // 2, requests):
            found[i + 1] = server.megabytes()
            print(f"  {i + 1} requests: {found[i + 1]:.0f} MB", flush=True)
    return found


arguments = options(__doc__, add_arguments)
facts = machine(arguments.smoke)
with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch) / "bench"
    model = SMOKE if arguments.smoke else SMALL
    version = write(folder, model, LENGTH, jit_compile=arguments.jit_compile)
    export, server = SavedModel(version), Server(folder)

    def direct(prompt, new):
        """Answers a request in this process."""
        inputs = {"prompts": np.array([prompt.encode()], object)}
        for name, (value,) in settings(new).items():
            kind = {int: "int32", float: "float32", list: object}[type(value)]
            inputs[name] = np.array([value], kind)
        return export.predict("generate", inputs)["completions"].numpy()

    try:
        tables = {
            "a request for 1 token": overhead(server, direct, arguments.rounds),
            "completions": several_clients(server, arguments.rounds, 8 if arguments.smoke else 128),
        }
        megabytes = memory(server, 20 if arguments.smoke else 1000)
    finally:
        server.close()

for title, rows in tables.items():
    print(f"\n{title}")
    for each in rows:
        cells = [f"{each['candidate']:<20}", f"{1e3 * each['seconds']:9.2f} ms"]
        if "tokens_per_second" in each:
            cells.append(f"{each['tokens_per_second']:6.0f} tokens/s")
        print("  " + "  ".join(cells))
one, several = (each["tokens_per_second"] for each in tables["completions"])
call, rest = (each["seconds"] for each in tables["a request for 1 token"])
growth = list(megabytes.values())[-1] - list(megabytes.values())[0]
print(f"\n{CLIENTS} clients: {several / one:.2f}x the tokens of one")
print(f"the server adds {1e3 * (rest - call):.2f} ms to a request")
print(f"memory: {growth:+.0f} MB from request {min(megabytes)} to {max(megabytes)}")
record = {"machine": facts, "tables": tables, "megabytes": megabytes}
path = write_json("serving", record, arguments.output)
draw(path.with_suffix(".png"), tables)
