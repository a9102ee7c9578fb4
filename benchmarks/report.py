"""What run.py prints of its rows: the line of each, what misses its goal, two runs compared, and the chart.

Invariant: everything is computed from the rows alone, so that a --json file says as much as the run did.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXACT = 6e-8  # half a unit in the last place of the largest value: no smaller error is asked for
SPEEDUP, LONG_US = 1.8, 100.0  # what two threads must bring on operators above so many us

Row = dict[str, Any]


def label(row: Row) -> str:
    return row["case"] + (" fwd+bwd" if row["backward"] else "")


def head(threads: int, peaks: dict[str, Any], compiled: bool) -> str:
    copies = ", ".join(f"{rate:.0f}" for _, rate in peaks["copy"])
    sides = ("fastnn us", "torch us", *(("compiled us",) if compiled else ()))
    first = f"\n{threads} thread(s); peak {peaks['flops']:.0f} GFLOP/s; copies of 16 KB x 4^k: {copies} GB/s\n{'':44}"
    first += "".join(f" {side:>19}" for side in sides) + f"{'':36}{'error':>8} {'error':>8}\n{'':44}"
    first += f" {'best':>9} {'median':>9}" * len(sides)
    return first + f" {'ratio':>6} {'goal':>6} {'rate':>14} {'peak':>5}  {'fastnn':>8} {'torch':>8}"


def line(row: Row, compiled: bool) -> str:
    if "failed" in row:
        return f"{label(row):44.44} FAILED: {row['failed']}"
    sides = ("fastnn", "torch", *(("compiled",) if compiled else ()))
    blank = {"best_us": None, "median_us": None}
    times = [row.get(side, blank)[key] for side in sides for key in ("best_us", "median_us")]
    text = f"{label(row):44.44}" + "".join(f" {t:9.2f}" if t is not None else " " * 10 for t in times)
    goal = f"{row['goal']:6.2f}" if row["goal"] is not None else " " * 6
    rate = f"{row['rate']:6.1f} {row['unit']:7} {100 * row['share']:4.0f}%" if row["unit"] else " " * 20
    errors = " ".join(f"{row[s]['error']:8.1e}" if "error" in row[s] else " " * 8 for s in ("fastnn", "torch"))
    return f"{text} {row['ratio']:6.2f} {goal} {rate}  {errors}  {', '.join(m for _, m in missed(row))}".rstrip()


def goals(row: Row) -> list[str]:
    """The kinds of goals that count in this row: ratios at several threads, times and shares of the peak at one."""
    one = row["threads"] == 1
    kinds = {
        "ratio": not one and row["goal"] is not None,
        "time": one and bool(row["goal_us"]),
        "share": one and bool(row["goal_share"]),
        "error": row["check"],
    }
    return [kind for kind, counts in kinds.items() if counts]


def missed(row: Row) -> list[tuple[str, str]]:
    """(kind of goal, what is missed) of one row."""
    out = []
    ours, counted = row["fastnn"], goals(row)
    if "ratio" in counted and row["ratio"] >= row["goal"] + 0.005:
        out.append(("ratio", f"ratio {row['ratio']:.2f} > {row['goal']:g}"))
    if "time" in counted and ours["best_us"] > row["goal_us"]:
        out.append(("time", f"{ours['best_us']:.2f} > {row['goal_us']:g} us"))
    if "share" in counted and row["share"] < row["goal_share"] - 0.005:
        out.append(("share", f"{100 * row['share']:.0f}% of peak < {100 * row['goal_share']:.0f}%"))
    if "error" in counted and ours["error"] > max(EXACT, 2 * row["torch"]["error"]):
        out.append(("error", f"error > 2 x {row['torch']['error']:.1e}"))
    return out


def summary(rows: list[Row]) -> str:
    """How many goals of each kind are met, and every one that is not."""
    done = [row for row in rows if "failed" not in row]
    names = {"ratio": "ratio to torch", "time": "time", "share": "share of peak", "error": "error, 2 x torch's"}
    out = [""]
    for kind, name in names.items():
        wanted = [row for row in done if kind in goals(row)]
        short = [(row, text) for row in wanted for k, text in missed(row) if k == kind]
        if wanted:
            out.append(f"{name}: {len(wanted) - len(short)} of {len(wanted)} met, {len(short)} missed")
            out += [f"    {row['threads']}T {label(row):44} {text}" for row, text in short]
    pairs, slow = speedups(done)
    if pairs:
        out.append(f"two threads at least {SPEEDUP} x one: {pairs - len(slow)} of {pairs} met, {len(slow)} missed")
        out += [f"    {name:47} {factor:.2f} x" for name, factor in slow]
    broken = [row for row in rows if "failed" in row]
    if broken:
        out.append(f"failed: {len(broken)}")
        out += [f"    {row['threads']}T {label(row):44} {row['failed']}" for row in broken]
    return "\n".join(out)


def speedups(done: list[Row]) -> tuple[int, list[tuple[str, float]]]:
    """Number of operators long enough to be split that ran at one and two threads, and those that gained too little."""
    times = {(row["threads"], label(row)): row["fastnn"]["best_us"] for row in done if row["check"]}
    factors = {
        name: us / times[2, name]
        for (threads, name), us in times.items()
        if threads == 1 and us > LONG_US and (2, name) in times
    }
    return len(factors), [(name, factor) for name, factor in factors.items() if factor < SPEEDUP - 0.005]


def load(path: str) -> dict[tuple[int, str], Row]:
    rows = json.loads(Path(path).read_text())["rows"]
    return {(row["threads"], label(row)): row for row in rows if "failed" not in row}


def compare(old_path: str, new_path: str) -> None:
    """Two --json files: fastnn's best times and ratios beside each other, the largest changes of the ratio first."""
    old, new = load(old_path), load(new_path)
    shared = sorted(old.keys() & new.keys(), key=lambda k: new[k]["ratio"] / old[k]["ratio"], reverse=True)
    print(f"{'':47} {'old us':>9} {'new us':>9} {'new/old':>8} {'old ratio':>9} {'new ratio':>9}")
    for key in shared:
        a, b = old[key], new[key]
        times = a["fastnn"]["best_us"], b["fastnn"]["best_us"]
        change = times[1] / times[0]
        name = f"{key[0]}T {key[1]}"
        print(f"{name:47.47} {times[0]:9.2f} {times[1]:9.2f} {change:8.2f} {a['ratio']:9.2f} {b['ratio']:9.2f}")
    for title, missing in (("only in old", old.keys() - new.keys()), ("only in new", new.keys() - old.keys())):
        for key in sorted(missing):
            print(f"{title}: {key[0]}T {key[1]}")


def chart(path: str, png: str) -> None:
    """Draws the ratios of the rows with a goal, at the file's largest number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = load(path)
    threads = max(key[0] for key in rows)
    chosen = [row for key, row in rows.items() if key[0] == threads and row["goal"] is not None]
    cases = list(dict.fromkeys(row["case"] for row in chosen))[::-1]
    figure, axes = plt.subplots(figsize=(7, 0.19 * len(cases) + 1))
    for backward, shift, colour in ((False, 0.2, "#8ab8d6"), (True, -0.2, "#1f5f8b")):
        part = [row for row in chosen if row["backward"] is backward]
        places = [cases.index(row["case"]) + shift for row in part]
        name = "forward + backward" if backward else "forward, or the whole step"
        axes.barh(places, [row["ratio"] for row in part], color=colour, height=0.4, label=name)
        for place, row in zip(places, part, strict=True):
            axes.text(row["ratio"] + 0.01, place, f"{row['ratio']:.2f}", va="center", fontsize=5)
    axes.set_yticks(range(len(cases)), cases, fontsize=6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(f"time of fastnn / time of PyTorch, {threads} threads (left of 1: fastnn is faster)", fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_ylim(-0.6, len(cases) - 0.4)
    axes.legend(fontsize=6, loc="lower right")
    figure.tight_layout()
    figure.savefig(png, dpi=80, pil_kwargs={"optimize": True})
