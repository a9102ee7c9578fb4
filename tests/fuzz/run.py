"""Feeds damaged input to everything that reads bytes from outside.

    python tests/fuzz/run.py [READER ...] [--inputs 1000000] [--seed 0] [--jobs 2]
    python tests/fuzz/run.py pt --seed 0 --only 4711        one input again, with the traceback

Invariant: input k of a seed is the same for ever. A worker that crashes, or spends more than LIMIT_S of processor time
on one input, is replaced and the input reported; so is an exception that the reader does not document, memory beyond
LIMIT_MB, and any attempt to run code, import, or write outside of the reader's own folder. Exit status 1 if there was one.
Does not: use coverage to choose inputs. Read next: readers.py.
"""

from __future__ import annotations

import argparse
import collections
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

LIMIT_S = 10  # processor time for one input
LIMIT_MB = 1024  # address space beyond that of an idle worker
SLOT = struct.Struct("<QQQ")  # next input, inputs done, peak memory in KiB

# What no reader does while it reads (sys.audit names these events): run, compile or import code, start programs, reach out.
FORBIDDEN = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "ctypes.dlopen",
             "shutil.", "os.remove", "os.rename", "os.mkdir", "os.chmod", "code.__new__", "function.__new__", "pty.spawn", "webbrowser.open",
             "marshal.loads", "pickle.find_class")
_watched = False


class Forbidden(BaseException):
    """Beyond the reach of `except Exception` in the reader."""


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event == "open":
        path, mode, flags = args
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR) or str(path).startswith(_own_folder):
            return
    elif not event.startswith(FORBIDDEN):
        return
    raise Forbidden(f"{event} {args!r:.200}")


_own_folder = "\0"


def damaged(reader: Any, samples: list[Any], seed: int, k: int) -> Any:
    r = random.Random(f"{seed}/{k}")
    return reader.damage(r, r.choice(samples))


def read_one(reader: Any, value: Any) -> str:
    """How the read ended: "value", the class of a documented error, or a report that begins with "!"."""
    global _watched
    _watched = True
    try:
        reader.read(value)
        return "value"
    except reader.errors as error:
        _watched = False
        if len(str(error)) > 20_000:
            return f"! message of {len(str(error))} characters: {type(error).__name__}"
        return type(error).__name__
    except BaseException as error:  # noqa: BLE001  (this is what is looked for)
        _watched = False
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"! {type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:300]}"
    finally:
        _watched = False


def worker(name: str, seed: int, start: int, stop: int, slot: Any, out: Any) -> None:
    global _own_folder
    import readers

    _own_folder = str(readers._FOLDER)
    reader = readers.READERS[name]
    samples = reader.samples()
    repr(readers.fastnn.ones(1))
    for encoding in ("16", "16-le", "16-be", "32", "32-le", "32-be", "8-sig"):  # json looks which one it is
        "".encode(f"utf-{encoding}")
    for k in range(200):  # imports and caches happen before anything is watched
        try:
            reader.read(damaged(reader, samples, -1, k))
        except reader.errors:
            pass
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + LIMIT_MB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.addaudithook(_audit)
    ends: collections.Counter[str] = collections.Counter()
    for k in range(start, stop):
        value = damaged(reader, samples, seed, k)
        slot[: SLOT.size] = SLOT.pack(k, k - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # its signal ends the process, also in the middle of C code
        end = read_one(reader, value)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if end.startswith("!"):
            out.write(f"{name} seed {seed} input {k}: {end[2:]}\n".encode())
            out.flush()
            end = "! " + end[2:].split(":")[0]
        ends[end] += 1
    slot[: SLOT.size] = SLOT.pack(stop, stop - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    out.write(f"ends {dict(ends)!r}\n".encode())


class Job:
    """A range of a reader's inputs, worked on by one process after another until it is done."""

    def __init__(self, name: str, seed: int, start: int, stop: int) -> None:
        self.name, self.seed, self.next, self.stop = name, seed, start, stop
        self.slot = mmap.mmap(-1, SLOT.size)
        self.ends: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.peak = 0
        self.begin()

    def begin(self) -> None:
        read, write = os.pipe()
        self.slot[: SLOT.size] = SLOT.pack(self.next, 0, 0)
        self.pid = os.fork()
        if not self.pid:
            os.close(read)
            status = 1
            try:
                with os.fdopen(write, "wb") as out:
                    worker(self.name, self.seed, self.next, self.stop, self.slot, out)
                status = 0
            except BaseException:  # noqa: BLE001  (the report is the parent's)
                traceback.print_exc()
            finally:
                _remove_folder()
                os._exit(status)
        os.close(write)
        self.pipe = os.fdopen(read, "rb")

    def wait(self) -> bool:
        """Waits for the process. True when the range is done."""
        for line in self.pipe.read().decode().splitlines():
            if line.startswith("ends "):
                self.ends.update(eval(line[5:], {"__builtins__": {}}))
            else:
                self.failures.append(line)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        at, done, peak = SLOT.unpack(self.slot[: SLOT.size])
        self.peak = max(self.peak, peak)
        if status == 0:
            return True
        what = f"hung for {LIMIT_S} s" if status == -signal.SIGPROF else f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit {status}"
        self.failures.append(f"{self.name} seed {self.seed} input {at}: {what}")
        self.ends["! " + what] += 1
        self.ends["ended before the crash"] += done
        self.next = at + 1
        if self.next >= self.stop or status > 0:
            return True
        self.begin()
        return False


def _remove_folder() -> None:
    import shutil

    readers = sys.modules.get("readers")
    if readers:
        shutil.rmtree(readers._FOLDER, ignore_errors=True)


def run(name: str, inputs: int, seed: int, jobs: int) -> list[str]:
    """One reader. Prints a line, gives the failures."""
    started = time.monotonic()
    edges = [inputs * j // jobs for j in range(jobs + 1)]
    parts = [Job(name, seed, a, b) for a, b in zip(edges, edges[1:], strict=False)]
    for part in parts:
        while not part.wait():
            pass
    ends = sum((part.ends for part in parts), collections.Counter())
    failures = [f for part in parts for f in part.failures]
    seconds = time.monotonic() - started
    shown = ", ".join(f"{n:,} {end}" for end, n in ends.most_common(12))
    print(f"{name}: {inputs:,} inputs, seed {seed}, {inputs / seconds:,.0f} a second, at most {max(p.peak for p in parts) / 1024:.0f} MB more: {shown}", flush=True)
    for line in failures[:20]:
        print("  " + line)
    return failures


def again(name: str, seed: int, k: int) -> None:
    import readers

    reader = readers.READERS[name]
    value = damaged(reader, reader.samples(), seed, k)
    print(repr(value)[:3000])
    reader.read(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("readers", nargs="*", help="default: all")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, metavar="K", help="read input K once, here")
    args = parser.parse_args()
    if args.only is not None:
        try:
            again(args.readers[0], args.seed, args.only)
        finally:
            _remove_folder()
        return 0
    names = args.readers or "pt legacy rebuild checkpoint names state generator memory".split()
    failures = [line for name in names for line in run(name, args.inputs, args.seed, args.jobs)]
    print(f"{len(failures)} defects")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
