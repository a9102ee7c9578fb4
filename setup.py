"""Builds fastnn._C from every csrc/**/*.c. Everything declarative is in pyproject.toml.

Invariant: an object file is reused only if it was made by the same command and is newer than every file it was made
from (the compiler writes that list, -MMD), so an edit of any header rebuilds exactly the units that include it.
Not done here: per-file flags. The units in csrc/isa/ choose their instruction set by a pragma, so one command fits all.

Environment: CC and CFLAGS as usual; FASTNN_SANITIZE=1 builds with address and undefined-behaviour checks,
FASTNN_SANITIZE=thread with checks for data races, FASTNN_DEBUG=1 keeps debug symbols and assertions,
FASTNN_COVERAGE=1 counts the lines that run (tests/c_coverage.py).
Read next: csrc/isa/avx2.c.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent
SANITIZE = os.environ.get("FASTNN_SANITIZE", "0") not in ("", "0")
THREADS = os.environ.get("FASTNN_SANITIZE") == "thread"
COVERAGE = os.environ.get("FASTNN_COVERAGE", "0") not in ("", "0")
DEBUG = SANITIZE or os.environ.get("FASTNN_DEBUG", "0") not in ("", "0")


# fastnn.h and what it includes.
PUBLIC_HEADERS = ("fastnn.h", "core/cpu.h", "core/dtype.h", "core/status.h", "ops/ops.def")
# What `fastnn bench` and `fastnn verify` run; the rest of these folders needs torch or a checkout.
SHIPPED = {
    "benchmarks": ("case.py", "cases.py", "cases_numpy.py", "cases_rest.py", "steps.py", "measure.py"),
    "tests": ("verify.py", "isa_worker.py", "proofs.py", "op_table.py", "table_calls.py")
    + tuple(f"op_rows_{part}.py" for part in ("math", "shape", "index", "layers", "rest"))
    + ("reference.py", "random_vectors.py", "support.py"),
}


def compile_flags() -> list[str]:
    """Flags for every unit. None of them lets the compiler change a floating-point result."""
    flags = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra"]
    # sqrt, floor and selects may become plain instructions: we read neither errno nor the exception flags.
    flags += ["-fno-math-errno", "-fno-trapping-math"]
    if THREADS:
        flags += ["-fsanitize=thread", "-g1", "-O1", "-UNDEBUG"]
    elif SANITIZE:
        # At -O1 an instruction-set unit takes gcc 12 over five minutes of CPU time, at -O0 half a minute.
        flags += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g1", "-O0", "-UNDEBUG", "-DFNN_DEBUG=1"]
        flags += ["-fno-sanitize=null,object-size,pointer-overflow"]  # the address checks see its accesses
        flags += ["-DFNN_POOL_MALLOC=1"]  # see csrc/core/pool.c
    elif COVERAGE:
        flags += ["-g0", "-O1", "--coverage"]
    elif DEBUG:
        flags += ["-g", "-O2", "-UNDEBUG", "-DFNN_DEBUG=1"]
    else:
        flags += ["-g0", "-O3"]
    # Last, so that nothing before it wins: a*b+c written apart must round twice on every instruction set.
    return [*flags, "-ffp-contract=off"]


def gcc_flags(compiler: list[str]) -> list[str]:
    """Flags that only gcc has."""
    # It zeroes structs of a few hundred bytes by `rep stos`, 40 cycles before the first store; an op call has ten.
    strategy = "vector_loop:512:noalign,libcall:-1:noalign"
    flags = [f"-mmemset-strategy={strategy}", f"-mmemcpy-strategy={strategy}"]
    if SANITIZE and not THREADS:  # checks by calls: inline ones make minutes of the instruction-set units
        flags += ["--param=asan-instrumentation-with-call-threshold=0"]
    probe = [*compiler, *flags, "-Werror", "-fsyntax-only", "-x", "c", os.devnull]
    return flags if subprocess.run(probe, capture_output=True).returncode == 0 else []


def is_current(obj: Path) -> bool:
    """True if obj exists and no file in its dependency list is missing or newer."""
    try:
        made = obj.stat().st_mtime_ns
        text = obj.with_suffix(".d").read_text()
        names = text.split(":", 1)[1].replace("\\\n", " ").replace("\\ ", "\0").split()
        return all(Path(n.replace("\0", " ")).stat().st_mtime_ns < made for n in names)
    except (OSError, IndexError):
        return False


class BuildC(build_ext):
    """build_ext that compiles in parallel and only what changed, and replaces the library in one step."""

    def build_extension(self, ext: Extension) -> None:
        import numpy

        version: dict[str, str] = {}
        exec((ROOT / "python/fastnn/version.py").read_text(), version)
        compiler = [*self.compiler.compiler_so, *gcc_flags(self.compiler.compiler_so), *compile_flags()]
        compiler.insert(-1, f'-DFNN_VERSION="{version["release"]}"')
        # The key leaves the include paths out: in an isolated build they are new each time while the headers are not.
        key = repr([compiler, numpy.__version__, sys.version])
        kind = "threads" if THREADS else "sanitized" if SANITIZE else "coverage" if COVERAGE else "obj"
        objects_dir = ROOT / "build" / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        paths = ["-I", str(ROOT / "csrc")]
        # -isystem: no warnings from these headers, and -MMD leaves them out of the dependency lists.
        for path in (sysconfig.get_path("include"), numpy.get_include()):
            paths += ["-isystem", path]

        sources = [Path(s) for s in ext.sources]
        pairs = [(ROOT / s, objects_dir / f"{str(s.with_suffix('')).replace(os.sep, '-')}.o") for s in sources]
        # The largest units first: the instruction-set units decide how long a build takes.
        stale = sorted((p for p in pairs if not is_current(p[1])), key=lambda p: p[0].parent.name != "isa")
        objects_dir.mkdir(parents=True, exist_ok=True)

        def compile_one(pair: tuple[Path, Path]) -> None:
            source, obj = pair
            # (the counters' notes are named after it: under one name they are replaced with it)
            part = obj.with_suffix(".part.o" if COVERAGE else f".{os.getpid()}.part.o")
            deps = ["-MMD", "-MF", str(obj.with_suffix(".d"))]
            if subprocess.run([*compiler, *paths, *deps, "-c", str(source), "-o", str(part)]).returncode:
                raise CompileError(f"{source.relative_to(ROOT)} does not compile (see above)")
            os.replace(part, obj)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(compile_one, stale))
        self.link(Path(self.get_ext_fullpath(ext.name)), [str(o) for _, o in pairs])

    def link(self, target: Path, objects: list[str]) -> None:
        command = [*self.compiler.linker_so, *objects, "-pthread", "-lm"]
        if sys.platform == "linux":
            command.append("-ldl")
        if SANITIZE:
            command.append("-fsanitize=thread" if THREADS else "-fsanitize=address,undefined")
        elif COVERAGE:
            command.append("--coverage")
        elif not DEBUG:
            command.append("-Wl,-s" if sys.platform == "linux" else "-Wl,-x")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{os.getpid()}.{target.name}")
        subprocess.run([*command, "-o", str(part)], check=True)
        os.replace(part, target)  # a process that has the old library mapped keeps the old file


class BuildPy(build_py):
    """build_py that also ships the C header, so that a C program can be compiled against an installed wheel, and what
    the commands bench and verify run.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        files = {f"include/{name}": ROOT / "csrc" / name for name in PUBLIC_HEADERS}
        files |= {f"{folder}/{name}": ROOT / folder / name for folder, names in SHIPPED.items() for name in names}
        for name, source in files.items():
            target = Path(self.build_lib) / "fastnn" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


SOURCES = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").rglob("*.c"))
setup(ext_modules=[Extension("fastnn._C", SOURCES)], cmdclass={"build_ext": BuildC, "build_py": BuildPy})
