"""`fastnn train` and `sample`: resuming keeps the bits, a kill leaves a whole checkpoint, bad input gets one line.

Runs in process with tiny models. Read next: test_cli_run.py (fastnn run).
"""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import pytest

from fastnn import cli
from fastnn.train import checkpoint, models, names, plot, trainer
from fastnn.train.config import MODEL_TYPES, UserError

TINY = "--n-layer 1 --n-head 2 --n-embd 8 --n-embd2 8 --batch-size 4 --eval-every 4".split()


@pytest.fixture
def name_file(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(names.read_names(names.BUNDLED)[:40]) + "\n")
    return path


@pytest.fixture
def start(name_file: Path, tmp_path: Path):
    """Runs `fastnn train` on the small file and returns its status; later options win."""

    def run(*options: str, out: Path = tmp_path / "out") -> int:
        return cli.main(["train", "--input", str(name_file), "--out", str(out), *TINY, *options])

    return run


def tensors_file(out: Path) -> Path:
    return out / json.loads((out / "checkpoint.json").read_text())["tensors"]["file"]


def refuse(argv: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    """The command ends in status 2 with one line on stderr that holds all the words."""
    try:
        status = cli.main(argv)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2, error
    assert error.count("\n") == 1 and error.startswith(f"fastnn {argv[0]}: error: "), error
    assert all(word in error for word in words), error


def test_bundled_names_are_clean() -> None:
    listed = names.BUNDLED.read_text().splitlines()
    assert len(listed) >= 2000 and listed == sorted(set(listed))
    assert all(n.isascii() and n.isalpha() and n.islower() for n in listed)


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_resumed_run_ends_with_the_same_bits(kind: str, start, tmp_path: Path) -> None:
    through, halves = tmp_path / "through", tmp_path / "halves"
    assert start("--type", kind, "--steps", "9", out=through) == 0
    assert start("--type", kind, "--steps", "5", out=halves) == 0
    assert start("--resume", "--steps", "9", out=halves) == 0
    assert tensors_file(through).read_bytes() == tensors_file(halves).read_bytes()

    def steps(out: Path) -> list[list[str]]:
        with open(out / "log.csv", newline="") as file:
            return [row[:2] for row in csv.reader(file)]

    assert steps(through) == steps(halves) and len(steps(through)) == 10


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_parameters_are_counted_without_building(kind: str) -> None:
    config = models.ModelConfig(kind, vocab_size=7, block_size=5, n_layer=3, n_head=2, n_embd=8, n_embd2=11, dropout=0.1)
    assert config.parameters() == sum(p.numel() for p in models.build(config).parameters())


def test_loss_falls_and_samples_repeat(start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start("--type", "bigram", "--steps", "200", "--lr", "0.05", "--eval-every", "100") == 0
    saved = checkpoint.load(tmp_path / "out")
    assert saved.losses["train"] is not None and saved.losses["train"] < 2.9  # ln(27) = 3.3 at the start
    capsys.readouterr()
    printed = []
    for _ in range(2):
        assert cli.main(["sample", str(tmp_path / "out"), "--num", "7", "--seed", "5", "--top-k", "9"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and printed[0].count("\n") == 7
    assert cli.main(["sample", str(tmp_path / "out"), "--starts-with", "ab", "--novel", "--num", "3"]) == 0
    drawn = capsys.readouterr().out.split()
    known = set(names.read_names(names.BUNDLED)[:40])
    assert len(set(drawn)) == 3 and all(n.startswith("ab") and n not in known for n in drawn)
    assert cli.main(["sample", str(tmp_path / "out"), "--temperature", "0", "--num", "2"]) == 0
    assert len(set(capsys.readouterr().out.split())) == 1


def test_ctrl_c_saves_and_the_rest_can_follow(start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_step = trainer.Trainer._train_step

    def interrupted_at_3(self: trainer.Trainer) -> float:
        loss = one_step(self)
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)
        return loss

    through, out = tmp_path / "through", tmp_path / "out"
    assert start("--type", "rnn", "--steps", "6", out=through) == 0
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_train_step", interrupted_at_3)
        assert start("--type", "rnn", "--steps", "6") == 130
    assert checkpoint.load(out).step == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert start("--resume") == 0
    assert tensors_file(through).read_bytes() == tensors_file(out).read_bytes()


def test_a_kill_anywhere_in_a_save_leaves_a_whole_checkpoint(start, tmp_path: Path, monkeypatch) -> None:
    """Stands in for kill -9: each system call of a save in turn never returns."""
    out = tmp_path / "out"
    start("--steps", "2")
    newer = checkpoint.load(out)
    seen = set()
    for survived in range(12):
        start("--steps", "2", "--overwrite")
        newer.step = 3
        left = iter(range(survived))

        def dies(real, left=left):
            def call(*args, **kwargs):
                if next(left, None) is None:
                    raise InterruptedError("killed")
                return real(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
                patch.setattr(owner, name, dies(getattr(owner, name)))
            try:
                checkpoint.save(out, newer)
            except InterruptedError:
                pass
        seen.add(checkpoint.load(out).step)
        assert start("--resume", "--steps", "4") == 0 and checkpoint.load(out).step == 4
    assert seen == {2, 3}
    assert len(list(out.glob("tensors-*"))) == 1


def test_damaged_checkpoints(start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    start("--steps", "1")
    capsys.readouterr()
    path, manifest = tensors_file(out), out / "checkpoint.json"
    data, text = path.read_bytes(), manifest.read_text()
    sample = ["sample", str(out)]
    path.write_bytes(data[:-5])
    refuse(sample, capsys, "truncated", str(len(data)))
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refuse(sample, capsys, "corrupt")
    path.unlink()
    refuse(sample, capsys, "cannot read")
    path.write_bytes(data)
    manifest.write_text(text[:50])
    refuse(sample, capsys, "not valid JSON")
    manifest.write_text('{"format": "other"}')
    refuse(sample, capsys, "'other'")
    manifest.write_text(text.replace('"chars"', '"letters"'))
    refuse(["train", "--resume", "--out", str(out)], capsys, "damaged", "chars")
    manifest.write_text(text.replace('"n_embd": 8', '"n_embd": 16'))
    refuse(sample, capsys, "do not fit")
    refuse(["sample", str(tmp_path)], capsys, "no checkpoint")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no names"),
        (b"\n  \n", "no names"),
        (b"anna\n", "only one name"),
        (b"anna\nbo\0b\n", "control character"),
        (b"\xff\xfe\x00anna\n", "not UTF-8"),
        (b"anna\nmaximiliana\n", "maximiliana"),
    ],
)
def test_bad_input_files(content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "names"
    path.write_bytes(content)
    argv = ["train", "--input", str(path), "--out", str(tmp_path / "out"), "--block-size", "8"]
    refuse(argv, capsys, str(path), words)
    assert not (tmp_path / "out").exists()


def test_bad_options(start, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    out = str(tmp_path / "out")
    refuse(["train", "--input", str(tmp_path / "nosuch")], capsys, "cannot read", "nosuch")
    refuse(["train", "--input", str(tmp_path)], capsys, "cannot read")
    refuse(["train", "--type", "lstm"], capsys, "lstm", "transformer")
    refuse(["train", "--steps", "0"], capsys, "--steps", "at least 1")
    refuse(["train", "--lr", "nan"], capsys, "--lr", "nan")
    refuse(["train", "--beta1", "1"], capsys, "--beta1")
    refuse(["train", "--seed", "-1"], capsys, "--seed")
    refuse(["train", "--batch-size", "many"], capsys, "--batch-size", "'many'")
    refuse(["train", "--nosuch"], capsys, "--nosuch")
    refuse(["train", "--n-embd", "10", "--n-head", "4", "--out", out], capsys, "not divisible")
    (tmp_path / "file").touch()
    refuse(["train", "--out", str(tmp_path / "file" / "out")], capsys, "cannot write")
    start("--steps", "1")
    capsys.readouterr()
    refuse(["train", "--out", out], capsys, "holds a run already")
    refuse(["train", "--out", out, "--resume", "--n-embd", "16"], capsys, "--n-embd 16", "8")
    refuse(["sample", out, "--starts-with", "a+"], capsys, "'+'")
    refuse(["sample", out, "--starts-with", "a" * 40], capsys, "end after")
    refuse(["sample", out, "--num", "0"], capsys, "--num")
    (tmp_path / "names.txt").write_text("quite\nother\nnames\n")
    refuse(["train", "--out", out, "--resume"], capsys, "was started with")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refuse(["train", "--plot"], capsys, "matplotlib", "pip install")


def test_a_full_disk_is_one_line(start, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    start("--type", "mlp", "--steps", "4")
    capsys.readouterr()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    resumed = ["train", "--resume", "--steps", "8", "--out", str(tmp_path / "out")]
    refuse(resumed, capsys, "step 8", "No space left on device")
    assert checkpoint.load(tmp_path / "out").step == 4


def test_diverging_loss_keeps_the_last_checkpoint(start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start("--type", "mlp", "--steps", "1")
    with pytest.raises(UserError, match="smaller --lr"):
        trainer.main({"out": str(tmp_path / "out"), "resume": True, "steps": 60, "lr": 1e37})
    assert checkpoint.load(tmp_path / "out").step == 1


def test_plot(start, tmp_path: Path) -> None:
    assert start("--type", "bigram", "--steps", "8", "--plot") == 0
    assert (tmp_path / "out" / "loss.png").read_bytes().startswith(b"\x89PNG")
    plot.require()
