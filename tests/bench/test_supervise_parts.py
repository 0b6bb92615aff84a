"""The parts of the supervision that need no process: messages, shared memory, words."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from optcore.history import Recorder, read_rows
from optcore_bench.supervise.memory import SharedFile, new_file
from optcore_bench.supervise.usage import _resident_bytes_by_ps, resident_bytes
from optcore_bench.supervise.wire import Disconnected, Exchange, Garbled, Lines, receive, send
from optcore_bench.supervise.words import describe_error, how_it_ended, last_words, place_in_dump


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


# --- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_a_message_and_its_answer_arrive_whole_whatever_their_size(pair, size):
    ours, theirs = pair
    body = os.urandom(size)
    exchange = Exchange(ours, 7, body)
    received = []

    def echo():
        received.append(receive(theirs))
        send(theirs, *received[0])

    other_end = threading.Thread(target=echo)
    other_end.start()
    answer = None
    while answer is None:
        answer = exchange.step()
    other_end.join()
    assert received == [(7, body)]
    assert answer == body
    assert not exchange.sending


def test_sending_to_an_end_that_does_not_read_does_not_wait(pair):
    exchange = Exchange(pair[0], 1, bytes(50_000_000))
    assert exchange.step() is None
    assert exchange.sending


def test_an_answer_to_another_run_or_more_than_one_answer_is_refused(pair):
    ours, theirs = pair
    send(theirs, 3, b"answer")
    with pytest.raises(Garbled):
        Exchange(ours, 4, None).read()
    send(theirs, 4, b"answer")
    send(theirs, 4, b"again")
    with pytest.raises(Garbled):
        Exchange(ours, 4, None).read()


def test_half_an_answer_is_none_and_the_end_of_the_connection_is_noticed(pair):
    ours, theirs = pair
    send(theirs, 4, b"answer")
    whole = ours.recv(1000)
    theirs.sendall(whole[:-1])
    exchange = Exchange(ours, 4, None)
    assert exchange.read() is None
    theirs.close()
    with pytest.raises(Disconnected):
        exchange.read()
    with pytest.raises(Disconnected):
        Exchange(ours, 5, b"x").write()


def test_what_is_no_message_ends_the_reading_of_the_child(pair):
    pair[0].send(b"x" * 100)
    with pytest.raises(Disconnected):
        receive(pair[1])


def test_lines_come_one_by_one_and_carry_descriptors(pair):
    ours, theirs = pair
    lines, other = Lines(ours), Lines(theirs)
    other.send({"a": 1})
    other.send({"b": [2, "\n"]})
    assert lines.receive(10) == {"a": 1}
    assert lines.receive(10) == {"b": [2, "\n"]}
    with pytest.raises(TimeoutError):
        lines.receive(0.01)
    read, write = os.pipe()
    lines.send({"do": "start"}, (write,))
    data, fds, _, _ = socket.recv_fds(theirs, 1000, 1)
    assert data == b'{"do": "start"}\n'
    os.write(fds[0], b"through")
    assert os.read(read, 100) == b"through"
    for fd in (read, write, *fds):
        os.close(fd)
    theirs.close()
    with pytest.raises(Disconnected):
        lines.receive(10)
    with pytest.raises(Disconnected):
        lines.send({})


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["memfd", "file"])
def fd(request):
    fd = new_file(anonymous=request.param)
    yield fd
    os.close(fd)


def test_what_one_mapping_records_the_other_reads_also_after_growth(fd):
    writer, reader = SharedFile(fd), SharedFile(fd)
    recorder = Recorder(50, writer)
    for i in range(10_000):  # 4.3 MB: several times the first size
        recorder.add(0, float(i), i, 0.0, 0.0, np.full(50, float(i)).tobytes())
    rows = read_rows(reader.current())
    np.testing.assert_array_equal(rows.fun, np.arange(10_000))
    np.testing.assert_array_equal(rows.x[:, -1], np.arange(10_000))
    assert reader.size >= 10_000 * 432
    reader.clear()
    assert read_rows(writer.current()).fun.size == 0
    for memory in (writer, reader):
        memory.close()


def test_growth_keeps_the_content_and_older_mappings_stay_valid(fd):
    memory = SharedFile(fd)
    first = memory.reserve(10)
    first[:3] = b"abc"
    larger = memory.reserve(3 * len(first) + 1)
    assert len(larger) > 3 * len(first)
    assert larger[:3] == b"abc"
    first[:3] = b"xyz"
    assert larger[:3] == b"xyz"
    memory.close()


def test_memory_that_is_not_written_to_takes_no_space(fd):
    memory = SharedFile(fd)
    memory.reserve(100 << 20)
    memory.clear()
    assert memory.size >= 100 << 20
    assert memory.touched < 1 << 20
    memory.close()


@pytest.mark.skipif(sys.platform != "linux", reason="sealed files are Linux's")
def test_the_file_can_not_be_made_smaller_under_its_reader():
    fd = new_file(anonymous=True)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_both_ways_to_ask_for_resident_memory_agree():
    block = np.ones(20_000_000)
    by_ps = _resident_bytes_by_ps(os.getpid())
    assert by_ps > block.nbytes
    assert resident_bytes(os.getpid()) == pytest.approx(by_ps, rel=0.1)
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert resident_bytes(done.pid) == _resident_bytes_by_ps(done.pid) == 0


# --- words ---------------------------------------------------------------------------------------------------------


def status_of(code: str) -> int:
    process = subprocess.Popen([sys.executable, "-c", f"import os; {code}"])
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0
    return status


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os._exit(7)", "ended by os._exit(7), or by exit(7) in a C library"),
        (f"os.kill(os.getpid(), {int(signal.SIGTERM)})", "killed by SIGTERM"),
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL: by itself, by another process, or by the system"),
    ],
)
def test_the_end_of_a_real_process_in_words(code, words):
    assert how_it_ended(status_of(code)).startswith(words)


def test_a_real_time_signal_has_a_number_only():
    if sys.platform != "linux":
        pytest.skip("real-time signals are Linux's")
    assert how_it_ended(int(signal.SIGRTMIN) + 2) == f"killed by signal {int(signal.SIGRTMIN) + 2}"


DUMP = """Fatal Python error: Segmentation fault

Current thread 0x00007f00 (most recent call first):
  File "{library}/re/__init__.py", line 166 in match
  File "/home/user/my solver.py", line 12 in <lambda>
  File "/home/user/other.py", line 3 in outer
  File "<string>", line 1 in <module>

Extension modules: numpy._core (total: 1)
"""


def test_the_place_is_the_innermost_line_of_the_user():
    dump = DUMP.format(library=os.path.dirname(os.__file__))
    assert place_in_dump(dump) == "in <lambda> (/home/user/my solver.py:12)"
    only_library = "\n".join(line for line in dump.splitlines() if "/home/" not in line)
    assert place_in_dump(only_library) == f"in match ({os.path.dirname(os.__file__)}/re/__init__.py:166)"
    assert place_in_dump("nothing of the kind") == ""


def test_the_place_has_the_letters_of_its_path():
    code = (
        "import faulthandler, sys\n"
        "exec(compile('def löse(): faulthandler.dump_traceback(sys.stdout)', '/Größe/∂/𝛁.py', 'exec'))\n"
        "löse()"
    )
    dump = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert place_in_dump(dump) == "in löse (/Größe/∂/𝛁.py:1)"


def test_last_words_are_what_the_program_said_not_the_dump():
    said = "".join(f"line {i}\n" for i in range(10))
    assert last_words(said + DUMP.format(library="/lib")) == "line 6\nline 7\nline 8\nline 9"
    assert len(last_words("x" * 100_000)) < 2100


def test_an_error_is_described_with_its_causes():
    def fails():
        raise ValueError("no")

    def starts():
        try:
            fails()
        except ValueError as error:
            raise RuntimeError("can't start") from error

    with pytest.raises(RuntimeError) as caught:
        starts()
    first, second = describe_error(caught.value).split("; caused by ")
    assert re.fullmatch(r"RuntimeError: can't start \(in starts \(.*test_supervise_parts.py:\d+\)\)", first)
    assert re.fullmatch(r"ValueError: no \(in fails \(.*test_supervise_parts.py:\d+\)\)", second)


def test_a_circle_of_causes_ends():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe_error(first).startswith("ValueError: first; caused by ValueError: second; caused by")
