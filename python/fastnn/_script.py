"""Runs somebody's program as `__main__` with `torch` resolved to fastnn: the engine of `fastnn run`.

Invariant: the program cannot tell it from `python SCRIPT ARGS...`: sys.argv, sys.path[0], `__main__`, `__file__`,
pickles of its classes, tracebacks without frames of ours, exit statuses. What it does not do: decide what `torch`
means (_alias.py does), or isolate the program; it owns the interpreter, as a script does.
"""

from __future__ import annotations

import importlib.util
import io
import os
import runpy
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader

# Frames of these files stand above the program's own and are cut from its tracebacks.
_OURS = (__file__, runpy.__file__, "<frozen runpy>")


def run_file(path: str, args: Sequence[str]) -> int:
    """`python PATH ARGS...`; a folder or zip file runs its `__main__.py`. Returns the exit status."""
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        _prepare([path, *args], None)
        return _guard(lambda: runpy.run_path(path, run_name="__main__"))
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        print(f"fastnn run: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        return 2
    _prepare([path, *args], os.path.dirname(os.path.realpath(path)))
    main = _new_main(__file__=path, __loader__=SourceFileLoader("__main__", path), __cached__=None)
    return _guard(lambda: exec(compile(source, path, "exec", dont_inherit=True), main.__dict__))


def run_module(name: str, args: Sequence[str]) -> int:
    """`python -m NAME ARGS...`. Returns the exit status."""
    _prepare(["-m", *args], os.getcwd())
    try:
        found = importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        print(f"fastnn run: No module named {name}", file=sys.stderr)
        return 1
    return _guard(lambda: runpy.run_module(name, run_name="__main__", alter_sys=True))


def run_code(code: str, args: Sequence[str]) -> int:
    """`python -c CODE ARGS...`. Returns the exit status."""
    _prepare(["-c", *args], "")
    main = _new_main()
    return _guard(lambda: exec(compile(code, "<string>", "exec", dont_inherit=True), main.__dict__))


def _prepare(argv: list[str], path0: str | None) -> None:
    from fastnn import _alias

    _alias.install_as_torch()
    sys.argv[:] = argv
    if path0 is not None and not getattr(sys.flags, "safe_path", False):
        # Entry 0 is the folder of the `fastnn` program (or the current one, for `python -m fastnn`): not the script's.
        sys.path[0] = path0


def _new_main(**attributes: object) -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__dict__.update(attributes, __builtins__=__builtins__, __annotations__={})
    sys.modules["__main__"] = main
    return main


def _guard(start: Callable[[], object]) -> int:
    """Runs the program. SystemExit passes through; any other exception is reported as the interpreter would."""
    try:
        start()
    except SystemExit:
        raise
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
            trace = trace.tb_next
        error.__traceback__ = trace
        sys.excepthook(type(error), error, trace)
        # 128 + SIGINT is what a shell sees of a Python that was interrupted.
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0
