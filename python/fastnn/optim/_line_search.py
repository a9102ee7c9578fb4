"""Line search for the strong Wolfe conditions.

Invariant: the step returned was evaluated, and its loss and gradient are returned with it. Does not: move parameters.
Read next: lbfgs.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Point = tuple[float, float, Any, float]  # step, loss, gradient, slope along the direction


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Minimiser in [low, high] of the cubic with a's and b's losses and slopes (Nocedal and Wright, equation 3.59)."""
    if a[0] > b[0]:
        a, b = b, a
    (x1, f1, _, g1), (x2, f2, _, g2) = a, b
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)), low), high)


def strong_wolfe(
    probe: Callable[[float], tuple[float, Any]],
    t: float,
    d: Any,
    loss: float,
    grad: Any,
    slope: float,
    tolerance_change: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    max_ls: int = 25,
) -> tuple[float, Any, float, int]:
    """(loss, gradient, step, evaluations) of a step with enough decrease (c1) and a slope flat enough (c2).

    probe(t) gives loss and gradient at step t along d; loss, grad and slope are those at 0.
    Source: Nocedal and Wright 2006, algorithms 3.5 and 3.6.
    """

    def point(step: float) -> Point:
        value, gradient = probe(step)
        return step, value, gradient.clone(), float(gradient.dot(d))

    size = float(d.abs().max())
    before: Point = (0.0, loss, grad, slope)
    now = point(t)
    evals, rounds = 1, 0
    bracket: list[Point] = []
    while rounds < max_ls:
        if now[1] > loss + c1 * now[0] * slope or (rounds > 0 and now[1] >= before[1]):
            bracket = [before, now]
            break
        if abs(now[3]) <= -c2 * slope:
            bracket = [now]
            break
        if now[3] >= 0:
            bracket = [before, now]
            break
        step = cubic_minimum(before, now, now[0] + 0.01 * (now[0] - before[0]), now[0] * 10)
        before, now = now, point(step)
        evals += 1
        rounds += 1
    else:
        bracket = [(0.0, loss, grad, slope), now]
    if len(bracket) == 2:
        best, extra = _zoom(point, bracket, loss, slope, size, tolerance_change, c1, c2, max_ls - rounds)
        evals += extra
    else:
        best = bracket[0]
    return best[1], best[2], best[0], evals


def _zoom(
    point: Callable[[float], Point],
    bracket: list[Point],
    loss: float,
    slope: float,
    size: float,
    tolerance_change: float,
    c1: float,
    c2: float,
    rounds: int,
) -> tuple[Point, int]:
    """Shrink a bracket until its better end satisfies both conditions, or it is too small to matter."""
    low, high = sorted(bracket, key=lambda p: p[1])
    evals, stuck = 0, False
    while evals < rounds:
        left, right = sorted((low[0], high[0]))
        if (right - left) * size < tolerance_change:
            break
        t = cubic_minimum(low, high, left, right)
        # A minimiser too close to an end, twice or at the end itself, is moved inside by a tenth of the bracket.
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = point(t)
        evals += 1
        if new[1] > loss + c1 * new[0] * slope or new[1] >= low[1]:
            high = new
            if low[1] > high[1]:
                low, high = high, low
            continue
        if abs(new[3]) <= -c2 * slope:
            return new, evals
        if new[3] * (high[0] - low[0]) >= 0:
            high = low
        low = new
    return low, evals
