"""Numbers PyTorch 2.13 draws on x86-64, written down: for seeds A = 2147483647 and B = 1337 the start of each call's flattened result.

Invariant: needs no PyTorch; `check_vector` and `check_further` hold either library to them. Does not: draw side by side (test_random.py).
Read next: csrc/core/random.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from support import arr, close, same

A, B = 2147483647, 1337


def f32(text: str) -> np.ndarray:
    return np.array(text.split(), np.float32)


def f64(text: str) -> np.ndarray:
    return np.array(text.split(), np.float64)


def bits(text: str) -> np.ndarray:
    return np.array([int(c) for c in text], np.float32)


def ints(text: str) -> np.ndarray:
    return np.array(text.split(), np.int64)


# name: (call(lib), seed A, seed B)
Call = Callable[[Any], Any]
VECTORS: dict[str, tuple[Call, np.ndarray, np.ndarray]] = {
    "rand": (lambda t: t.rand(5), f32("0.70812887 0.354239106 0.105432332 0.599644423 0.0904441476"), f32("0.0783171058 0.495616734 0.623098135 0.422438145 0.200388372")),
    "rand f64": (lambda t: t.rand(3, dtype=t.float64), f64("0.66503138161122632 0.84345895722442199 0.72355351427546299"), f64("0.62653711344230312 0.98478518132574511 0.60310723451646731")),
    "uniform_": (lambda t: t.empty(5).uniform_(-0.11, 0.11), f32("0.0457883514 -0.0320673957 -0.0868048891 0.0219217725 -0.0901022851"), f32("-0.0927702338 -0.000964318519 0.0270815901 -0.0170636084 -0.0659145564")),
    "randn 5": (lambda t: t.randn(5), f32("-0.98000735 -1.65784788 -0.0571662299 -0.340854108 2.09915519"), f32("-2.02599216 -2.06550884 -1.2053628 -0.912224114 -1.25022185")),
    "randn 16": (lambda t: t.randn(16), f32("1.56736195 -0.23729232 -0.0273846053 -1.10077941 0.28588146"), f32("0.180771589 -0.0699880943 -0.359623492 -0.915204465 0.625765324")),
    "randn 16 from 8": (lambda t: t.randn(16)[8:], f32("0.0791362002 0.904623866"), f32("0.361150563 1.16787815")),
    "randn 20": (lambda t: t.randn(20), f32("1.56736195 -0.23729232 -0.0273846053 -1.10077941 0.984879673"), f32("0.180771589 -0.0699880943 -0.359623492 -0.915204465 -2.03714991")),
    "randn 20 end": (lambda t: t.randn(20)[-5:], f32("0.7276178 2.2497077 -0.475500971 0.620500445 1.15002108"), f32("2.50858688 0.166182235 1.20545185 0.188317895 -2.16003561")),
    "randn f64 16": (lambda t: t.randn(16, dtype=t.float64), f64("-0.92050776874665885 -0.82382783815798 -0.86396890083350242"), f64("0.46886815309346219 2.5212020393370467 1.1416106285885055")),
    "randint": (lambda t: t.randint(0, 100, (5,)), ints("31 94 49 72 53"), ints("15 57 92 0 95")),
    "randint 2**40": (lambda t: t.randint(0, 2**40, (3,)), ints("1030328332138 677054612044 385256718824"), ints("650947518653 396050048232 719592052185")),
    "random_": (lambda t: t.empty(2, dtype=t.int64).random_(), ints("7256785470231326570 2889900964408033868"), ints("4833502145162436797 2927202714887398632")),
    "randperm": (lambda t: t.randperm(10), ints("1 9 7 4 0 5 6 8 3 2"), ints("5 0 6 1 9 8 4 2 3 7")),
    "exponential_": (lambda t: t.empty(5).exponential_(), f32("1.09371841 1.85443699 1.28573799 0.0597247481 0.0663871914"), f32("0.984936655 4.18548536 0.924089134 1.14252615 0.526128948")),
    "multinomial with replacement": (lambda t: t.multinomial(t.arange(1.0, 11), 10, replacement=True), ints("8 9 8 2 2 9 9 2 7 8"), ints("7 9 7 8 6 8 6 1 8 2")),
    "multinomial without": (lambda t: t.multinomial(t.arange(1.0, 11), 10), ints("7 4 3 9 8 6 2 5 1 0"), ints("7 9 6 4 8 5 3 2 0 1")),
    "multinomial one": (lambda t: t.multinomial(t.arange(1.0, 11), 1, replacement=True), ints("7"), ints("7")),
    "bernoulli_": (lambda t: t.empty(20).bernoulli_(0.5), bits("00011001000100000010"), bits("00001011011111011010")),
    "bernoulli": (lambda t: t.bernoulli(t.full((20,), 0.5)), bits("01101100110100110001"), bits("11011100110010010001")),
    "dropout": (lambda t: (t.nn.Dropout(0.2)(t.ones(20)) > 0).float(), bits("10111001111101010110"), bits("10111111011111111011")),
    "Linear weight": (lambda t: t.nn.Linear(3, 2).weight, f32("0.240326509 -0.16831018 -0.455607504 0.115059465 -0.472914368 -0.473574042"), f32("-0.486917466 -0.00506135961 0.142141476 -0.0895607173 -0.34596169 -0.54426384")),
    "Linear bias": (lambda t: t.nn.Linear(3, 2).bias, f32("0.441380769 0.564332306"), f32("0.0982921273 0.227101758")),
    "Embedding 3x2": (lambda t: t.nn.Embedding(3, 2).weight, f32("-0.98000735 -1.65784788 -0.0571662299 -0.340854108 2.09915519 0.896376789"), f32("-2.02599216 -2.06550884 -1.2053628 -0.912224114 -1.25022185 0.803233743")),
    "Embedding 27x10": (lambda t: t.nn.Embedding(27, 10).weight, f32("1.56736195 -0.23729232 -0.0273846053"), f32("0.180771589 -0.0699880943 -0.359623492")),
    "GRU w_ih": (lambda t: t.nn.GRU(2, 2).weight_ih_l0, f32("0.294338673 -0.206137031"), f32("-0.596349657 -0.00619887421")),
    "GRU b_hh": (lambda t: t.nn.GRU(2, 2).bias_hh_l0, f32("0.141178533 -0.47783947"), f32("-0.527592957 -0.405633152")),
    "xavier_uniform_": (lambda t: t.nn.init.xavier_uniform_(t.empty(2, 3)), f32("0.455987513 -0.31934613 -0.864454508 0.218309999 -0.897291958 -0.898543656"), f32("-0.923860967 -0.0096032545 0.269694507 -0.169929519 -0.656416237 -1.03266811")),
    "normal_ 0.02": (lambda t: t.nn.init.normal_(t.empty(4, 4), 0, 0.02), f32("0.0313472375 -0.00474584615 -0.000547692121"), f32("0.00361543172 -0.00139976188 -0.00719246967")),
    "kaiming_normal_": (lambda t: t.nn.init.kaiming_normal_(t.empty(2, 3)), f32("-0.800172627 -1.3536272 -0.0466760285 -0.278306216 1.71395302 0.731888592"), f32("-1.65421557 -1.686481 -0.98417455 -0.744827867 -1.0208019 0.655837595")),
    "trunc_normal_": (lambda t: t.nn.init.trunc_normal_(t.empty(20)), f32("1.56736195 -0.237292320 -0.0273846053 -1.10077941 0.984879673"), f32("0.180771589 -0.0699880943 -0.359623492 -0.915204465 0.410919100")),
    "DataLoader": (lambda t: next(iter(t.utils.data.DataLoader(range(10), 10, shuffle=True))), ints("7 2 6 0 1 3 4 5 8 9"), ints("7 1 0 4 2 6 9 8 3 5")),
}  # fmt: skip


def check_vector(lib: Any, name: str, seed: int) -> int:
    """Asserts bit equality with the written-down numbers and returns how many there are."""
    call, *vectors = VECTORS[name]
    want = vectors[0] if seed == A else vectors[1]
    lib.manual_seed(seed)
    same(arr(call(lib)).reshape(-1)[: want.size], want, name)
    return int(want.size)


def check_further(lib: Any) -> int:
    """What bit equality is not promised for, and results that are not tensors."""
    lib.manual_seed(A)
    close(lib.randn(3, dtype=lib.float64), f64("-0.98000735271940953 -1.6578479083048836 -0.057166228101822945"), 1)
    for seed, row in ((A, "-0.898078322 -0.376423001 -0.22751075"), (B, "-0.90789628 0.239823699 -0.343815029")):
        lib.manual_seed(seed)
        close(lib.nn.init.orthogonal_(lib.empty(3, 3))[0], f32(row), 8, whole=True)
    a, b = lib.utils.data.random_split(range(10), [7, 3], generator=lib.Generator().manual_seed(42))
    assert (list(a), list(b)) == ([2, 6, 1, 8, 4, 5, 0], [9, 3, 7])
    lib.manual_seed(B)
    assert list(lib.utils.data.RandomSampler(range(10))) == [3, 4, 2, 8, 9, 7, 5, 1, 6, 0]
    g = lib.Generator().manual_seed(A)  # the hundred samples of the first lecture
    p = lib.rand(3, generator=g)
    p = p / p.sum()
    assert lib.multinomial(p, num_samples=100, replacement=True, generator=g)[:20].tolist() == [1, 1, 2, 0, 0, 2, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]
    return 3 + 2 * 3 + 10 + 10 + 20
