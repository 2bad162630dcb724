"""`make serve-fuzz`: thousands of requests of every kind while versions are swapped.

A server of its own process answers clients that send valid and hostile requests, while new versions
of the model are written (some slowly, some damaged) and old ones are removed. The server must never
crash, never lose a valid request, and never answer with another version than it should.
"""

import argparse
import contextlib
import dataclasses
import http.client
import json
import queue
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.serving.fuzz_requests import CASES, Answer, Grpc, Http
from tests.serving.fuzz_versions import FIRST, Swapper, Versions
from tests.serving.toy_models import save_toy

_CLIENTS = 4
_TIMEOUT_SECONDS = 30
_POLL_SECONDS = 0.1
_CONFIG = """model_config_list { config {
  name: "toy" base_path: "toy" model_version_policy { latest { num_versions: 1 } }
  version_labels { key: "stable" value: 1 } version_labels { key: "gone" value: 1000000 }
} }"""
# What stands on stderr when the server did not expect an error.
_UNEXPECTED = re.compile(r"Traceback|Exception in|Fatal error|never awaited|never retrieved")
# gRPC logs with a traceback what is no message.
_EXPECTED = re.compile(r"Exception deserializing message!\nTraceback.*?DecodeError[^\n]*", re.S)


@dataclasses.dataclass
class Counts:
    """What was sent and answered, and what was wrong."""

    requests: Counter = dataclasses.field(default_factory=Counter)
    answers: Counter = dataclasses.field(default_factory=Counter)
    versions: Counter = dataclasses.field(default_factory=Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)
    lost: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0

    def __str__(self):
        return (
            f"{self.requests.total()} requests in {self.seconds:.0f} s "
            f"({_listed(self.requests)}); answers: {_listed(self.answers)}; "
            f"versions: {_listed(self.versions)}; "
            f"wrong = {len(self.wrong)}, lost = {len(self.lost)}"
        )


def _listed(counter):
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def _shown(value):
    text = repr(value)
    return text if len(text) < 800 else f"{text[:700]}...{text[-100:]}"


class ServerProcess:
    """`primer serve` in a process of its own, on free ports.

    Args:
        folder: A folder; the model's versions are in its folder `toy`.
    """

    def __init__(self, folder):
        (folder / "models.config").write_text(_CONFIG)
        self._log = folder / "log"
        command = [sys.executable, "-m", "primer_tf.cli", "serve", "--rest_api_port=0", "--port=0"]
        command += [f"--poll_seconds={_POLL_SECONDS}"]
        command += [f"--model_config_file={folder / 'models.config'}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        # It prints the addresses of REST and gRPC once it answers.
        addresses = [self._process.stdout.readline() for _ in range(2)]
        if not all(addresses):
            raise RuntimeError(self._log.read_text())
        self.ports = [int(address.strip("/\n").rpartition(":")[2]) for address in addresses]

    def alive(self):
        return self._process.poll() is None

    def stop(self):
        """Stops the server; returns what was wrong with it."""
        problems = [] if self.alive() else [f"the server ended with {self._process.returncode}"]
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_TIMEOUT_SECONDS)
            problems += [f"the server ended with {status} at SIGTERM"] if status else []
        except subprocess.TimeoutExpired:
            self._process.kill()
            problems.append("the server did not end at SIGTERM")
        log = _EXPECTED.sub("", self._log.read_text(errors="replace"))
        found = _UNEXPECTED.search(log)
        if found:
            problems.append(f"the server's log says {log[found.start() : found.start() + 3000]}")
        return problems


class Client:
    """Sends requests of all kinds, one after the other.

    Args:
        rest_port: The server's port of REST.
        grpc_port: The server's port of gRPC.
    """

    def __init__(self, rest_port, grpc_port):
        self._address = ("127.0.0.1", rest_port)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{rest_port}", timeout=_TIMEOUT_SECONDS, trust_env=False
        )
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")

    def close(self):
        self.http.close()
        self._channel.close()

    def send(self, request):
        """Returns the answer to a request."""
        try:
            if isinstance(request, Grpc):
                return self._send_grpc(request)
            if isinstance(request, Http):
                return self._send_http(request)
            return self._send_pieces(request)
        except Exception as error:  # of any of the three libraries
            return Answer(f"{type(error).__name__}: {error}")

    def _send_grpc(self, request):
        call = self._channel.unary_unary(request.method)  # without serializers: bytes
        try:
            return Answer("OK", call(request.message, timeout=request.timeout_seconds))
        except grpc.RpcError as error:
            if error.details() == "Exception deserializing request!":  # gRPC's own refusal
                return Answer("no message")
            return Answer(error.code().name, error.details())

    def _send_http(self, request):
        answer = self.http.request(
            request.method,
            request.path,
            content=request.body,
            headers={"Content-Type": request.content_type},
        )
        no_body = {"error": "The answer to HEAD has no body."}
        value = no_body if request.method == "HEAD" else self._value(answer.content)
        return Answer(answer.status_code, value)

    def _send_pieces(self, request):
        with socket.create_connection(self._address, _TIMEOUT_SECONDS) as connection:
            for index, piece in enumerate(request.pieces):
                time.sleep(0.05 * bool(index))
                # The server may have seen enough and have answered.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(piece)
            if request.ends in ("leaves", "resets"):
                linger = struct.pack("ii", request.ends == "resets", 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return Answer("left")
            if request.ends == "listens":
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            try:
                answer.begin()
            except (http.client.RemoteDisconnected, ConnectionResetError):
                return Answer("no answer")
            return Answer(answer.status, self._value(answer.read()))

    @staticmethod
    def _value(content):
        if content == b"Invalid HTTP request received.":  # It comes before any of our code.
            return {"error": content}
        try:
            return json.loads(content)
        except ValueError:
            return content


def check(case, client, versions):
    """Sends a request; returns its answer and what is wrong with that."""
    since, newest = versions.now()
    answer = client.send(case.request(newest))
    try:
        return answer, case.problem(newest, answer, versions, since)
    except Exception as error:  # The answer has another form.
        return answer, f"{type(error).__name__}: {error}"


def work(cases, client, versions, counts, lock):
    """Sends the requests of a queue until it yields `None`."""
    while (case := cases.get()) is not None:
        answer, problem = check(case, client, versions)
        status = str(answer.status).partition(":")[0]
        with lock:
            counts.requests[case.kind] += 1
            counts.answers[status] += 1
            if problem:
                lost = case.must_succeed and status not in ("200", "OK")
                (counts.lost if lost else counts.wrong).append(
                    f"{case.kind}: {problem}: {_shown(answer)} for {_shown(case)}"
                )


def draw(count, number, use):
    """Draws cases and uses each; the same number gives the same ones.

    Hypothesis does no more than that: a case whose answer depends on the moment cannot be shrunk.
    """
    used = 0
    while used < count:

        @seed(number)
        @settings(
            max_examples=count - used,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(CASES)
        def draw_all(case):
            nonlocal used
            if used < count:
                used += 1
                use(case, used)

        draw_all()
        number += 1


def run(requests, number=0, progress=sys.stderr):
    """Runs the server and all clients; returns the counts.

    Args:
        requests: The number of requests.
        number: The seed of what is sent.
        progress: Where to write how far it is.
    """
    counts, lock, versions = Counts(), threading.Lock(), Versions()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save_toy(folder / "toy" / str(FIRST), FIRST)
        server = ServerProcess(folder)
        clients = [Client(*server.ports) for _ in range(_CLIENTS + 1)]
        swapper = Swapper(folder / "toy", clients[-1].http, versions, _POLL_SECONDS, number)
        cases = queue.Queue(4 * _CLIENTS)
        threads = [
            threading.Thread(target=work, args=(cases, client, versions, counts, lock))
            for client in clients[:-1]
        ]
        start = shown = time.monotonic()

        def use(case, index):
            nonlocal shown
            while server.alive():
                with contextlib.suppress(queue.Full):
                    cases.put(case, timeout=1)
                    break
            now = time.monotonic()
            if now - shown > 5:
                shown = now
                rate = index / (now - start)
                left = (requests - index) / rate
                print(f"{index} requests, {rate:.0f}/s, {left:.0f} s left", file=progress)

        try:
            for thread in [swapper, *threads]:
                thread.start()
            draw(requests, number, use)
        finally:
            for _ in threads:
                cases.put(None)
            for thread in threads:
                thread.join()
            counts.seconds = time.monotonic() - start
            swapper.stop()
            for client in clients:
                client.close()
            counts.wrong += swapper.problems + server.stop()
    counts.versions = swapper.counts
    return counts


def main():
    """Prints the counts; exits with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts = run(arguments.requests, arguments.seed)
    # One example of each.
    examples = {text.partition(" for ")[0]: text for text in counts.lost + counts.wrong}
    for text in list(examples.values())[:20]:
        print(text, file=sys.stderr)
    print(counts)
    if counts.lost or counts.wrong or counts.requests.total() < arguments.requests:
        sys.exit(1)


if __name__ == "__main__":
    main()
