"""Checkpoints that survive a kill at any moment.

A checkpoint is two files in the run's folder: tensors-NNNNNNNN.safetensors (weights, optimizer state, generator states)
and checkpoint.json (options, vocabulary, counters, and the name, size and CRC of the tensors file).
Invariant: checkpoint.json always names a complete tensors file. Each file is written under another name, flushed to
the disk and renamed; the JSON last, and only then the old tensors are deleted: a kill leaves the old pair or the new.
What it does not do: keep several checkpoints, or read other programs' files.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from fastnn.train.config import LONGEST, TrainConfig, UserError

FORMAT = "fastnn.names.1"
MANIFEST = "checkpoint.json"


@dataclass
class Checkpoint:
    config: TrainConfig
    chars: str
    block_size: int
    names_crc: int
    step: int  # optimizer steps done
    losses: dict[str, float | None]  # at the last evaluation
    tensors: dict[str, np.ndarray]


def _replace(path: Path, data: bytes) -> None:
    """Puts `data` at `path`: all of it or, after a crash or an error, what was there before."""
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        _remove(new)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)


def _remove(path: Path) -> None:
    """Clears up after an error; that one is to be seen, not another."""
    with contextlib.suppress(OSError):
        path.unlink()


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replaces the folder's checkpoint. Raises OSError with the old one intact."""
    data = safetensors.numpy.save(checkpoint.tensors)
    name = f"tensors-{checkpoint.step:08d}.safetensors"
    old = _named_tensors(folder)
    if name == old:  # the same step again (a resumed run that had nothing to do): do not write under a live name
        name = f"tensors-{checkpoint.step:08d}b.safetensors"
    try:
        _replace(folder / name, data)
        _replace(folder / MANIFEST, _manifest(checkpoint, name, data))
    except OSError:
        if _named_tensors(folder) != name:
            _remove(folder / name)
        raise
    for stale in folder.glob("tensors-*.safetensors*"):
        if stale.name != name:
            stale.unlink(missing_ok=True)


def _manifest(checkpoint: Checkpoint, name: str, data: bytes) -> bytes:
    manifest = {
        "format": FORMAT,
        "step": checkpoint.step,
        "losses": checkpoint.losses,
        "config": asdict(checkpoint.config),
        "chars": checkpoint.chars,
        "block_size": checkpoint.block_size,
        "names_crc": checkpoint.names_crc,
        "tensors": {"file": name, "bytes": len(data), "crc32": zlib.crc32(data)},
    }
    return (json.dumps(manifest, indent=2) + "\n").encode()


def exists(folder: Path) -> bool:
    return (folder / MANIFEST).exists()


def load(folder: Path) -> Checkpoint:
    """Reads and verifies a checkpoint. Raises UserError that names the file and what is wrong with it."""
    manifest = _read_manifest(folder)
    try:
        entry = manifest["tensors"]
        path = folder / os.path.basename(entry["file"])
        size, crc = entry["bytes"], entry["crc32"]
        head = Checkpoint(
            config=TrainConfig(**manifest["config"]),
            chars=manifest["chars"],
            block_size=manifest["block_size"],
            names_crc=manifest["names_crc"],
            step=manifest["step"],
            losses=manifest["losses"],
            tensors={},
        )
        _check(head)
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{folder / MANIFEST} is damaged: {str(error)[:200]}") from None
    data = _read(path)
    if len(data) != size:
        raise UserError(f"{path} is truncated: {len(data)} bytes, expected {size}")
    if zlib.crc32(data) != crc:
        raise UserError(f"{path} is corrupt: its CRC is not the one in {MANIFEST}")
    try:
        head.tensors = safetensors.numpy.load(data)
    except Exception as error:  # noqa: BLE001  (the checksum may be right and the content not; the library documents no classes)
        raise UserError(f"{path} is damaged: {error}") from None
    odd = next((f"{k} of {v.dtype}" for k, v in head.tensors.items() if v.dtype not in (np.float32, np.uint8)), None)
    if odd:
        raise UserError(f"{path} is damaged: it holds {odd[:200]}, expected float32 or uint8")
    return head


def _check(head: Checkpoint) -> None:
    """Raises for values that no run has: UserError or TypeError."""
    head.config.check()
    wanted = {"chars": str, "block_size": int, "names_crc": int, "step": int, "losses": dict}
    for name, kind in wanted.items():
        if type(getattr(head, name)) is not kind:
            raise TypeError(f"{name} is {getattr(head, name)!r:.80}, expected {kind.__name__}")
    if not 1 <= head.block_size <= LONGEST or not 0 <= head.step < 2**63 or set(head.losses) != {"train", "test"}:
        raise TypeError(f"block_size {head.block_size}, step {head.step} or losses {head.losses!r:.80} out of range")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # a name no file can have
        raise UserError(f"cannot read {str(path)!r:.200}: {error}") from None


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(f"no checkpoint in {folder}: {MANIFEST} is missing")
    try:
        manifest = json.loads(_read(path))
    except (ValueError, RecursionError):
        raise UserError(f"{path} is not valid JSON: truncated or not a checkpoint") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise UserError(f"{path} is no checkpoint of this program: format {found!r:.80}, expected {FORMAT!r}")
    return manifest


def _named_tensors(folder: Path) -> str | None:
    """The tensors file of the checkpoint in place; None where there is none that can be read."""
    try:
        return str(_read_manifest(folder)["tensors"]["file"])
    except (UserError, KeyError, TypeError):
        return None
