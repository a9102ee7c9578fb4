"""The deliberate defects of mutants.py: what a careless or malicious engineer would change, and the tests that stand beside it.

Invariant: each old text stands exactly once in its file; a mutant is one idea, written as its author would have written it.
Does not: run anything. Read next: mutants.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    edits: tuple[tuple[str, str], ...]  # (old, new)
    tests: tuple[tuple[str, str], ...]  # (file, pytest's -k; "" for all of it)
    needs: str = ""  # an instruction set without which it cannot be noticed


OPS, AUTOGRAD, RANDOM = "tests/test_ops.py", "tests/test_autograd.py", "tests/test_random.py"

MUTANTS = (
    # --- those without which no suite may call itself one ---
    Mutant(
        "a wrong sign in one backward",
        "csrc/ops/unary.c",
        (("SLOPE(slope_cos, F(NEG, F(SIN, in)))", "SLOPE(slope_cos, F(SIN, in))"),),
        ((OPS, "gradients_beside_torch and cos"),),
    ),
    Mutant(
        "a missing causal mask",
        "csrc/ops/attention_space.c",
        ((".causal = attrs->v[1].i != 0}", ".causal = false}"),),
        ((OPS, "beside_torch and scaled_dot_product_attention"),),
    ),
    Mutant(
        "a node visited before its parents",
        "csrc/graph/visits.c",
        (("seq(w->heap[(at - 1) / 2]) < seq(v)", "seq(w->heap[(at - 1) / 2]) > seq(v)"),),
        ((AUTOGRAD, ""),),
    ),
    Mutant(
        "a chunk count that depends on threads",
        "csrc/ops/norm.c",
        (("if (per * PARTS < rows) per = fnn_chunks(rows, PARTS);", "if (rows) per = fnn_chunks(rows, fnn_get_num_threads());"),),
        (("tests/test_threads.py", "norm"),),
    ),
    Mutant(
        "an unfused fma in uniform_",
        "csrc/core/random_loops.inc",
        (("fmaf(rng_unit_f32(words[i]), width, from)", "rng_unit_f32(words[i]) * width + from"),),
        ((RANDOM, "vectors or fills"),),
    ),
    Mutant(
        "a vector loop's tail skipped in one instruction set",
        "csrc/simd/avx2.h",
        (("    _mm256_maskstore_ps(p + 8, vf_first(n, 8), a.hi);\n", ""),),
        (("tests/test_isa.py", "same_bits"),),
        needs="avx2",
    ),
    Mutant(
        "a stale buffer reused by the pool",
        "csrc/core/pool.c",
        (("    cache->free[c] = last->next;\n", "    cache->free[c] = first;\n"),),
        (("tests/test_core.py", "plain"),),
    ),
    Mutant(
        "a reference not dropped on an error path",
        "csrc/python/call.c",
        (("    fnn_frame_clear(f);\n    return status ? fnn_raise(status) : wrap_outputs", "    if (!status) fnn_frame_clear(f);\n    return status ? fnn_raise(status) : wrap_outputs"),),
        (("tests/test_leaks.py", "errors"),),
    ),
    Mutant(
        "a view that forgets its offset",
        "csrc/graph/node.c",
        (("    attrs.v[0].i = fnn_view_offset(t);\n", "    attrs.v[0].i = 0;\n"),),
        ((AUTOGRAD, ""),),
    ),
    # --- indices and checks ---
    Mutant(
        "one index too many allowed in embedding",
        "csrc/ops/embedding.c",
        (("at, index.numel, 0, rows)", "at, index.numel, 0, rows + 1)"),),
        (("tests/test_indexing.py", "one_too_far"),),
    ),
    Mutant(
        "one index too many allowed in gather, scatter and indexing",
        "csrc/ops/places.c",
        (("v, t.numel, low, size - low)", "v, t.numel, low, size - low + 1)"),),
        (("tests/test_indexing.py", "one_too_far"),),
    ),
    Mutant(
        "one class too many allowed in cross_entropy",
        "csrc/ops/loss.c",
        (("(uint64_t)t[r] >= (uint64_t)classes &&", "(uint64_t)t[r] > (uint64_t)classes &&"),),
        (("tests/test_indexing.py", "one_too_far"),),
    ),
    Mutant(
        "overlapping in-place writes let through",
        "csrc/graph/inplace.c",
        (("if (!number && fnn_is_dense(t)", "if (number && fnn_is_dense(t)"),),
        (("tests/test_errors.py", ""), (AUTOGRAD, "")),
    ),
    Mutant(
        "an input that overlaps the target is read while that is written",
        "csrc/graph/inplace.c",
        (("        if (!*apart) *apart = i;\n", ""),),
        (("tests/test_overlap.py", ""),),
    ),
    Mutant(
        "a kernel stores whole words behind the end of a row",
        "csrc/kernels/softmax.h",
        (("K(put)(y + i, n - i, vr_mul(K(get)(y + i, n - i), s));", "vr_store(y + i, vr_mul(K(get)(y + i, n - i), s));"),),
        (("tests/test_guards.py", "softmax_forward"),),
    ),
    Mutant(
        "an as_strided view may reach one element past its storage",
        "csrc/ops/part.c",
        ((": last >= room))", ": last > room))"),),
        (("tests/test_indexing.py", "one_too_far"),),
    ),
    # --- the tape ---
    Mutant(
        "a version counter not bumped in one in-place op",
        "csrc/python/random_fill.c",
        (("        fnn_fill_random(t, gen, draw);\n        fnn_tensor_bump(t);\n", "        fnn_fill_random(t, gen, draw);\n"),),
        (("tests/test_versions.py", ""),),
    ),
    Mutant(
        "saved tensors used although they were changed",
        "csrc/graph/backward.c",
        (("fnn_tensor_version(&s->t) != s->version)", "fnn_tensor_version(&s->t) < s->version)"),),
        ((AUTOGRAD, ""),),
    ),
    Mutant(
        "a second backward overwrites .grad",
        "csrc/graph/backward.c",
        (("        FNN_TRY(fnn_add_into(m->grad, grad));\n", "        FNN_TRY(fnn_copy_into(m->grad, grad));\n"),),
        ((AUTOGRAD, ""),),
    ),
    Mutant(
        "retain_graph ignored",
        "csrc/graph/backward.c",
        (("end_run(n, !status && !w->retain_graph);", "end_run(n, !status);"),),
        ((AUTOGRAD, ""),),
    ),
    Mutant(
        "a broadcast gradient averaged instead of summed",
        "csrc/ops/util.c",
        (("fnn_run1(&fnn_op_SUM, &sum, t, &attrs)", "fnn_run1(&fnn_op_MEAN, &sum, t, &attrs)"),),
        ((OPS, "beside_torch and add"),),
    ),
    Mutant(
        "no_grad stays on after an exception",
        "python/fastnn/autograd/grad_mode.py",
        (("    ) -> None:\n        modes, self._before = self._before\n        _set_modes(modes)\n", "    ) -> None:\n        modes, self._before = self._before\n        if kind is None:\n            _set_modes(modes)\n"),),
        (("tests/test_autograd_modes.py", ""),),
    ),
    # --- memory ---
    Mutant(
        "an input's storage let go while a long op reads it",
        "csrc/ops/run.c",
        (
            ("        if (h->t[i].storage) fnn_storage_ref(h->t[i].storage);\n", ""),
            ("        if (was->storage) fnn_storage_unref(was->storage);\n", ""),
        ),
        (("tests/test_threads.py", "python_threads or another_thread"),),
    ),
    Mutant(
        "a debug build that does not look at its canaries",
        "csrc/core/pool_debug.h",
        (("for (int i = 0; i < DEBUG_CANARY; i++)", "for (int i = 0; i < DEBUG_CANARY - 64; i++)"),),
        (("tests/test_core.py", "debug"),),
    ),
    Mutant(
        "a table's gradient not cleared before it is summed into",
        "csrc/ops/embedding.c",
        (("        fnn_parallel(fnn_chunks(bytes, CLEAR_BYTES), 0.02 * (double)bytes, clear_chunk, &t);\n", "        (void)bytes, (void)clear_chunk;\n"),),
        ((OPS, "gradients_beside_torch and embedding"),),
    ),
    # --- layers ---
    Mutant(
        "Welford's halves merged with the wrong count",
        "csrc/kernels/moments.h",
        (("f = (real)b.n / n;", "f = (real)a.n / n;"),),
        ((OPS, "var or std or layer_norm"), ("tests/test_accuracy.py", "layers")),
    ),
    Mutant(
        "attention's mask applied after the softmax",
        "csrc/kernels/attention_softmax.h",
        (
            ("        if (t->mask || t->allowed) x = vr_add(x, K(attention_mask_word)(t, i, j, n));\n", ""),
            (
                "vr_store(s + j * s_row, vr_mul(vr_load(s + j * s_row), inverse));",
                "vr_store(s + j * s_row, vr_mul(t->mask || t->allowed ? vr_mul(vr_load(s + j * s_row), vr_exp(K(attention_mask_word)(t, i, j, n))) : vr_load(s + j * s_row), inverse));",
            ),
        ),
        ((OPS, "beside_torch and scaled_dot_product_attention"),),
    ),
    Mutant(
        "dropout's scale missing in backward",
        "csrc/ops/random_ops.c",
        (("FNN_TRY(apply(&dx, dy, (const uint8_t *)mask->data, p));", "FNN_TRY(apply(&dx, dy, (const uint8_t *)mask->data, 0));"),),
        ((OPS, "gradients_beside_torch and dropout"),),
    ),
    Mutant(
        "label_smoothing ignored in the gradient",
        "csrc/ops/loss.c",
        ((".smoothing = smoothing_of(b->op, b->attrs), .parts", ".smoothing = 0, .parts"),),
        ((OPS, "gradients_beside_torch and cross_entropy"),),
    ),
    Mutant(
        "embedding's padding_idx gets a gradient",
        "csrc/ops/embedding.c",
        ((".padding = b->attrs->v[0].i,", ".padding = -1,"),),
        ((OPS, "gradients_beside_torch and embedding"),),
    ),
    Mutant(
        "batch norm's running variance is the biased one",
        "python/fastnn/nn/_norms.py",
        (("var.detach() * (count / (count - 1))", "var.detach()"),),
        (("tests/nn/test_modules.py", "BatchNorm"), ("tests/nn/test_functional.py", "")),
    ),
    # --- random streams, optimizers, files, loaders ---
    Mutant(
        "bernoulli's stream consumed in another order",
        "csrc/core/random_fill.c",
        (("                out[(done + i) * stride] = (T)batch[i];", "                out[(done + m - 1 - i) * stride] = (T)batch[i];"),),
        ((RANDOM, "vectors or bernoulli"),),
    ),
    Mutant(
        "Adam's bias correction one step ahead",
        "csrc/ops/optim.c",
        (("numbers = adam_numbers(&u->adam_options, counted = step);", "numbers = adam_numbers(&u->adam_options, (counted = step) + 1);"),),
        (("tests/optim/test_optimizers.py", "same_steps"),),
    ),
    Mutant(
        "a schedule one epoch late",
        "python/fastnn/optim/lr_scheduler.py",
        (("        if self.last_epoch not in self.milestones:", "        if self.last_epoch - 1 not in self.milestones:"), ("self.gamma ** self.milestones[self.last_epoch]", "self.gamma ** self.milestones[self.last_epoch - 1]")),
        (("tests/optim/test_schedulers.py", ""),),
    ),
    Mutant(
        "save loses strides",
        "python/fastnn/_pickling.py",
        (("            tuple(t.stride()),\n", "            tuple(t.contiguous().stride()),\n"),),
        (("tests/io/test_save_load.py", ""),),
    ),
    Mutant(
        "save loses ties",
        "python/fastnn/_pickling.py",
        (("            self._keys[key] = stored\n", ""),),
        (("tests/io/test_save_load.py", ""),),
    ),
    Mutant(
        "a DataLoader worker's seed off by one",
        "python/fastnn/utils/data/_utils/worker.py",
        (("        self.torch.manual_seed(seed)\n", "        self.torch.manual_seed(seed + 1)\n"),),
        (("tests/data/test_dataloader.py", ""), (RANDOM, "workers")),
    ),
)
