"""The `fastnn` program: one command line, split into commands.

Invariant: what the user got wrong (an option, a file, a checkpoint) ends in one line on stderr and exit status 2;
what a script under `fastnn run` does, including its traceback and exit status, is left as Python would have it.
This file parses and prints only. It imports a command's code when that command runs, so `fastnn --version` stays quick.
Read next: _script.py (run), train/trainer.py (train), train/sample.py (sample).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType

from fastnn.train.config import MODEL_TYPES, TrainConfig, UserError

RUN_HELP = """usage: fastnn run SCRIPT [ARGS...]
       fastnn run -m MODULE [ARGS...]
       fastnn run -c CODE [ARGS...]

Runs a Python program in which `torch` and all its submodules are fastnn. Everything after SCRIPT,
MODULE or CODE belongs to the program; tracebacks and exit statuses are Python's own."""


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, got {text}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"must be in 0 .. 2**63 - 1, got {text}")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def _non_negative_float(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be zero or a positive number, got {text}")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"must be in [0, 1), got {text}")
    return value


# argparse names the type in "invalid ... value: 'x'" by the function's __name__.
for _type, _name in (
    (_positive_int, "integer"),
    (_count, "integer"),
    (_seed, "integer"),
    (_positive_float, "number"),
    (_non_negative_float, "number"),
    (_fraction, "number"),
):
    _type.__name__ = _name


class _OneLineParser(argparse.ArgumentParser):
    """argparse with the error on one line: the usage text is for --help."""

    def error(self, message: str):  # type: ignore[no-untyped-def]  # noqa: ANN201  (NoReturn as in argparse)
        self.exit(2, f"{self.prog}: error: {message}\n")


def _default(name: str) -> object:
    return next(f.default for f in fields(TrainConfig) if f.name == name)


def _add_train(commands: argparse._SubParsersAction[_OneLineParser]) -> None:
    train = commands.add_parser(
        "train",
        help="train a generator of new names on a list of names",
        description="Trains a small neural network on a list of names, one per line, and samples new ones.",
        # An option that was not given must not shadow what a resumed run was started with.
        argument_default=argparse.SUPPRESS,
    )

    def option(flag: str, kind: object, text: str, **extra: object) -> None:
        name = flag.lstrip("-").replace("-", "_")
        train.add_argument(flag, type=kind, help=f"{text} (default: {_default(name)})", **extra)  # type: ignore[arg-type]

    train.add_argument("--input", "-i", metavar="FILE", help="names, one per line, UTF-8 (default: the bundled list)")
    train.add_argument("--out", "-o", metavar="DIR", help="where checkpoint, log and plot go (default: out)")
    train.add_argument("--type", choices=MODEL_TYPES, help=f"the model (default: {_default('type')})")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    train.add_argument("--overwrite", action="store_true", help="start anew although --out holds a checkpoint")
    option("--steps", _positive_int, "stop after this many steps in all")
    option("--seed", _seed, "seed of split, initial weights, batches and samples")
    option("--n-layer", _positive_int, "transformer: layers")
    option("--n-head", _positive_int, "transformer: attention heads")
    option("--n-embd", _positive_int, "width of the embedding")
    option("--n-embd2", _positive_int, "width of the hidden layer (rnn, gru, mlp, bow)")
    train.add_argument("--block-size", type=_positive_int, help="longest sequence, end mark included (default: fits)")
    option("--dropout", _fraction, "transformer: share of activations dropped")
    option("--batch-size", _positive_int, "names a step")
    option("--lr", _positive_float, "learning rate of AdamW")
    option("--weight-decay", _non_negative_float, "weight decay of AdamW")
    option("--beta1", _fraction, "AdamW's decay of the gradient average")
    option("--beta2", _fraction, "AdamW's decay of the squared gradient average")
    option("--eval-every", _positive_int, "evaluate, sample and save every so many steps")
    train.add_argument("--plot", action="store_true", help="draw the losses into DIR/loss.png (needs matplotlib)")


def _add_sample(commands: argparse._SubParsersAction[_OneLineParser]) -> None:
    sample = commands.add_parser("sample", help="print new names from a trained model")
    sample.add_argument("dir", metavar="DIR", help="the --out of fastnn train")
    sample.add_argument("--num", "-n", type=_positive_int, default=20, help="how many names (default: 20)")
    sample.add_argument(
        "--temperature", type=_non_negative_float, default=1.0, help="below 1 safer, above 1 wilder, 0 the likeliest"
    )
    sample.add_argument("--top-k", type=_positive_int, help="draw among the k likeliest letters only")
    sample.add_argument("--seed", type=_seed, default=0, help="the same seed gives the same names (default: 0)")
    sample.add_argument("--starts-with", default="", metavar="TEXT", help="how every name begins")
    sample.add_argument("--novel", action="store_true", help="only names that are not in the training file")


def _parser() -> _OneLineParser:
    parser = _OneLineParser(prog="fastnn", description="Train and sample small neural networks on a CPU, fast.")
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_OneLineParser)
    commands.add_parser("run", help="run a PyTorch script with fastnn in torch's place", add_help=False)
    _add_train(commands)
    _add_sample(commands)
    bench = commands.add_parser("bench", help="time fastnn's operators and training steps on this machine")
    bench.add_argument("--filter", nargs="+", default=[], metavar="TEXT", help="only cases with a TEXT in their name")
    bench.add_argument("--threads", type=_positive_int, help="how many threads (default: as fastnn chooses)")
    commands.add_parser("verify", help="prove every op right on this machine, in about a minute")
    commands.add_parser("info", help="print version, instruction set, BLAS, threads and build")
    return parser


def _run(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(RUN_HELP, file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    from fastnn import _script

    if args[0] in ("-m", "-c"):
        if len(args) < 2:
            raise UserError(f"{args[0]} needs an argument")
        start = _script.run_module if args[0] == "-m" else _script.run_code
        return start(args[1], args[2:])
    if args[0].startswith("-"):
        raise UserError(f"unknown option {args[0]}; options of the script come after its name")
    return _script.run_file(args[0], args[1:])


def _info() -> int:
    import fastnn

    build = fastnn._C._build_info()
    rows = {"version": fastnn.__version__, **build, "python": sys.version.split()[0]}
    rows["isa"] = f"{build['isa']} (of {', '.join(build['isas'])})"
    rows["blas"] = build["blas"] or "none: own kernels for every product"
    del rows["isas"]
    for name, value in rows.items():
        print(f"{name:10} {value}")
    return 0


def _beside(folder: str, module: str) -> ModuleType:
    """A module of benchmarks/ or tests/ that needs no torch: the wheel brings it, a checkout has it beside python/."""
    here = Path(__file__).parent
    place = next(place for place in (here / folder, here.parents[1] / folder) if place.is_dir())
    sys.path.insert(0, str(place))
    return importlib.import_module(module)


def _bench(args: argparse.Namespace) -> int:
    """The comparison with torch is benchmarks/run.py."""
    return int(_beside("benchmarks", "measure").bench(args.filter, args.threads))


def _command(args: argparse.Namespace) -> int:
    options = {k: v for k, v in vars(args).items() if k not in ("command", "version")}
    if args.command == "train":
        from fastnn.train import trainer

        return trainer.main(options)
    if args.command == "sample":
        from fastnn.train import sample

        return sample.main(**options)
    if args.command == "verify":
        return int(_beside("tests", "verify").main())
    return _info() if args.command == "info" else _bench(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["run"]:
        # Not argparse's business: every word after the script's name belongs to the script.
        try:
            return _run(argv[1:])
        except UserError as error:
            print(f"fastnn run: error: {error}", file=sys.stderr)
            return 2
    parser = _parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.prog = f"fastnn {args.command}" if args.command else parser.prog
        parser.error(f"unknown argument: {' '.join(unknown)}")
    if args.version:
        import fastnn

        print(f"fastnn {fastnn.__version__}")
        return 0
    if args.command is None:
        parser.error("a command is needed: run, train, sample, bench, verify or info (see --help)")
    try:
        return _command(args)
    except UserError as error:
        print(f"fastnn {args.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # A second Ctrl-C while the first one's save is under way, or one outside a training: nothing to explain.
        return 130
    except BrokenPipeError:
        # The reader went away (`fastnn sample out | head`): nothing left to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
