"""Lines of csrc that the suite cannot run, and why: what c_coverage.py prints beside them.

Invariant: an entry names a file, the function or macro a line stands in, and a piece of its text, so it stays true when lines move; one that fits
no line, or only lines that ran, is an error there. Does not: excuse a line that a caller of the library can reach in seconds; that takes a test.
Read next: c_coverage.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    file: str  # under csrc
    place: str  # the function or macro; "": any
    text: str  # a piece of the line; "": all lines of the place
    why: str

    def fits(self, file: str, place: str, line: str) -> bool:
        return file == self.file and self.place in ("", place) and self.text in line


def place_of(source: list[str], at: int) -> str:
    """The function or macro that line `at` (from 1) stands in: the nearest name above with a bracket, in a line that starts in the first column."""
    for line in reversed(source[:at]):
        found = re.match(r"(?:#define )?(?=[A-Za-z_])[^;=(]*?(?:\bK\()?(\w+)\)?\(", line)
        if found:
            return found[1]
    return ""


CHANCE = "takes a worker that ends at the right moment"
CLOCK = "takes a system without /dev/urandom"
DEPTH = "takes values chosen against selection and sort at once; test_rare_paths.py has them for each selection"
FOLDED = "counted on the line beside it: -O1 joins the two"
FORK = "runs in forked children, which end without writing their counts (test_process_fork.py)"
FORMAT = "takes a format that vsnprintf cannot print"
GUARD = "no caller gets there: for an op still to be written"
HUGE = "takes gigabytes"
KERNEL = "takes a system without sched_getaffinity"
MEMORY = "takes memory that runs out in a call that the works of test_memory.py do not make"
NO_OP = "the Python face refuses it, as PyTorch does; the table of dtypes is whole"
OVERLAP = "what shares memory with the tensor that is written is refused or copied before"
RACE = "takes a change by another thread within a few instructions"
SECONDS = "float32 from 4096 in every dimension: seconds; float64 runs the same lines"
STOP = "ends the process, which then writes no counts (c/test_core.c)"

SOMETIMES = frozenset({CHANCE, FOLDED, RACE})  # may run, as it happens

REASONS = tuple(
    Reason(*entry)
    for entry in (
        ("core/pool_debug.h", "debug_stop", "", STOP),
        ("core/pool_debug.h", "debug_undress", "debug_stop(", STOP),
        ("core/random.c", "after_fork_in_child", "", FORK),
        ("core/random.c", "system_seed", "clock_gettime(", CLOCK),
        ("core/random.c", "system_seed", "seed = ((uint64_t)t.tv_sec", CLOCK),
        ("core/random_choice.c", "fnn_rng_randperm", "/* inside out", HUGE),
        ("core/random_choice.c", "fnn_rng_randperm", "fnn_rng_random64(g) %", HUGE),
        ("core/random_choice.c", "fnn_rng_randperm", "out[i] = out[j];", HUGE),
        ("core/random_choice.c", "fnn_rng_randperm", "out[j] = i;", HUGE),
        ("core/random_fill.c", "GEOMETRIC", "bool", NO_OP),
        ("core/select.c", "quick_sort_roughly", "heap_select(a, n, n);", DEPTH),
        ("core/select.c", "quick_sort_roughly", "heap_unwind(a, n);", DEPTH),
        ("core/select.c", "quick_sort_roughly", "return;", DEPTH),
        ("core/status.c", "fnn_fail", "text[0] = '\\0';", FORMAT),
        ("core/threads.c", "count_usable_cpus", "sysconf(", KERNEL),
        ("core/threads.c", "count_usable_cpus", "return n > 0", KERNEL),
        ("core/threads.c", "wait_for_workers", "pause_briefly();", CHANCE),
        ("graph/apply.c", "keep_original", "fnn_tensor_unref(&original);", MEMORY),
        ("graph/apply.c", "keep_original", "return status;", MEMORY),
        ("graph/apply.c", "run_and_copy", "output with shape %s doesn't match", RACE),
        ("graph/backward.c", "fnn_node_backward", "derivative for %s is not implemented", GUARD),
        ("graph/inplace.c", "copy_slices", "fnn_node_unref(n);", MEMORY),
        ("graph/inplace.c", "copy_slices", "return status;", MEMORY),
        ("graph/inplace.c", "empty_like_base", "if (status)", MEMORY),
        ("graph/inplace.c", "empty_like_base", "fnn_tensor_unref(&block);", MEMORY),
        ("graph/inplace.c", "empty_like_base", "return status;", MEMORY),
        ("graph/node.c", "renew_view", "fnn_node_unref(n);", MEMORY),
        ("graph/node.c", "renew_view", "return status;", MEMORY),
        ("graph/visits.c", "fnn_visit_enter", "out of memory for a node", MEMORY),
        ("graph/visits.c", "fnn_visit_enter", "return NULL;", MEMORY),
        ("kernels/dot.h", "row_product", "vr s = vr_set1(0);", FOLDED),
        ("kernels/dot.h", "row_product", "const real sum = vr_reduce_add(s);", FOLDED),
        ("kernels/peak.h", "peak_fma", "const vr a = vr_set1", FOLDED),
        ("ops/expr.c", "fnn_xslot", "an expression has more than", GUARD),
        ("ops/expr.c", "fnn_xslot", "return NULL;", GUARD),
        ("ops/expr.c", "fnn_give", "fnn_tensor_ref_data(dst, result);", GUARD),
        ("ops/extreme.c", "back_found", "fnn_tensor_unref(&dy);", MEMORY),
        ("ops/extreme.c", "back_found", "return status;", MEMORY),
        ("ops/matmul.c", "back_batched", "out of memory for %zu bytes", MEMORY),
        ("ops/places.c", "fnn_index_tensor", "fnn_empty(out", OVERLAP),
        ("ops/places.c", "fnn_index_tensor", "return fnn_copy_into(out, t);", OVERLAP),
        ("ops/product_large.c", "multiply_chunk", "sgemm(", SECONDS),
        ("ops/product_large.c", "multiply_chunk", "(const float *)a", SECONDS),
        ("ops/recurrent_core.c", "", "if (!free) free = atomic_load(", RACE),
        ("ops/run.c", "forward_without_host", "another thread gave an input", RACE),
    )
)
