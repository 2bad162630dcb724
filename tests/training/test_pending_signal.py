"""Signals are kept until a step is done; a second one ends the process whatever it does."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from primer_tf.training.pending_signal import PendingSignal

# The calculation of the key is one operation of Python, which handlers wait for.
BUSY = """
import hashlib
from primer_tf.training.pending_signal import PendingSignal

with PendingSignal(lambda: print("first", flush=True)) as pending:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 10**9)
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_busy_process(first, second):
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(first)
            assert process.stdout.readline() == "first\n", "it is noticed at once, too"
            process.send_signal(second)
            assert process.wait(20) == 128 + second
        finally:
            process.kill()


def test_the_first_signal_is_kept():
    noticed = threading.Event()
    with PendingSignal(noticed.set) as pending:
        assert pending.number is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert noticed.wait(20)
        assert pending.number == signal.SIGTERM


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with PendingSignal(lambda: None) as pending:
            os.kill(os.getpid(), signal.SIGINT)
            assert pending.number is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_changes():
    handlers = []

    def run():
        with PendingSignal(lambda: None):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
