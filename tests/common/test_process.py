"""What the command line sets for its whole process, and what the user's own settings keep it from."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from recbole_mpo.common import process


@pytest.fixture
def calls(monkeypatch):
    """What the allocator was set to, on a Linux whose user has set nothing."""
    calls = []
    monkeypatch.setattr(process, "_mallopt", lambda *settings: calls.append(settings))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    yield calls
    os.environ.pop("OMP_WAIT_POLICY", None)


def test_threads_sleep_and_freed_memory_is_kept(calls):
    process.prepare_process()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert calls == [((process.M_MMAP_MAX, 0), (process.M_TRIM_THRESHOLD, -1))]


def test_the_users_settings_win(calls, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    process.prepare_process()
    process.settle_memory(process.LARGE_CATALOGUE + 1)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE" and calls == []


def test_other_systems_keep_their_allocator(calls, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    process.prepare_process()
    assert calls == []


@pytest.mark.parametrize(("item_num", "count"), [(process.LARGE_CATALOGUE, 0), (process.LARGE_CATALOGUE + 1, 1)])
def test_large_catalogues_give_memory_back(calls, item_num, count):
    process.settle_memory(item_num)
    assert len(calls) == count
    for settings in calls:
        assert (process.M_MMAP_MAX, process.MMAP_ARRAYS) in settings
        assert (process.M_TRIM_THRESHOLD, process.TRIM_BYTES) in settings


def test_a_c_library_without_the_function_is_left_alone(monkeypatch):
    monkeypatch.setattr(process.ctypes, "CDLL", lambda _: object())
    process._mallopt((1, 2))


def test_it_loads_neither_torch_nor_recbole():
    code = "import sys, recbole_mpo.common.process; print({'torch', 'recbole'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class TestRequestsToEnd:
    @pytest.mark.parametrize("name", process.END_REQUESTS)
    def test_one_interrupts_the_block_and_names_itself(self, default_signals, name):
        number = getattr(signal, name)
        with pytest.raises(process.Terminated, match=f"^{name}$") as caught, process.raising_at_the_end():
            os.kill(os.getpid(), number)
        assert caught.value.signal == number and signal.getsignal(number) is signal.SIG_DFL
        assert issubclass(process.Terminated, KeyboardInterrupt)

    def test_what_someone_handles_or_ignores_is_left_alone(self):
        handled = []
        former = signal.signal(signal.SIGTERM, lambda *_: handled.append("handled"))
        ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with process.raising_at_the_end():
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGHUP)
        finally:
            signal.signal(signal.SIGTERM, former)
            signal.signal(signal.SIGHUP, ignored)
        assert handled == ["handled"]

    def test_only_the_main_thread_can_be_interrupted(self):
        def ask():
            with process.raising_at_the_end():
                handlers.append(signal.getsignal(signal.SIGTERM))

        handlers = []
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert handlers == [signal.SIG_DFL]
