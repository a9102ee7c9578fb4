"""Fetching one batch: from indices, or from the running iterator of an iterable dataset.

Invariant: a fetcher is a function of what the index sampler gave (ignored for iterable datasets) and raises
StopIteration at the end of the data. Does not: touch random streams. Read next: worker.py.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any


def map_fetcher(dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Fetcher of a map-style dataset."""
    if not auto_collation:
        return lambda index: collate_fn(dataset[index])
    many = getattr(dataset, "__getitems__", None)
    if many:
        return lambda indices: collate_fn(many(indices))
    return lambda indices: collate_fn([dataset[i] for i in indices])


def iterable_fetcher(
    dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool
) -> Callable[[Any], Any]:
    """Fetcher of an iterable dataset; iteration starts here."""
    items = iter(dataset)
    if not auto_collation:
        return lambda _: collate_fn(next(items))

    def fetch(indices: Any) -> Any:
        batch = list(islice(items, len(indices)))
        if not batch or (drop_last and len(batch) < len(indices)):
            raise StopIteration
        return collate_fn(batch)

    return fetch
