"""The command `narcost`: finds the verb, runs it, and turns every error of the user's into one line.

A verb is a module with two functions, imported only when its verb is called:

    add_arguments(parser: argparse.ArgumentParser) -> None
    run(args: argparse.Namespace) -> int
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from hardware_profiles.errors import ProfileError
from relay_frontend.errors import FrontendError
from tvm_narcost import __version__
from tvm_narcost.errors import NarcostError

__all__ = ["VERBS", "main"]

# verb -> (module, one-line help)
VERBS = {
    "predict": ("tvm_narcost.cli.predict", "predict the latency of networks on a device"),
    "report": ("tvm_narcost.cli.report", "write what is predicted of a network as an HTML page"),
    "rank": ("tvm_narcost.cli.rank", "rank the ways to fuse a network's operators"),
    "profile": ("tvm_narcost.cli.profile", "measure networks here, into a latency database"),
    "profiles": ("tvm_narcost.cli.profiles", "list, show and probe hardware profiles"),
    "train": ("tvm_narcost.cli.train", "train a latency model from a database"),
    "adapt": ("tvm_narcost.cli.adapt", "fit an artifact to another profile from few measured networks"),
    "evaluate": ("tvm_narcost.cli.evaluate", "say how good a model is on networks held out"),
    "tune": ("tvm_narcost.cli.tune", "find schedules for the kernels of a network with TVM's MetaSchedule"),
    "database": ("tvm_narcost.cli.database", "count, export and import what a database holds"),
}

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
BROKEN_PIPE = 141  # 128 + SIGPIPE


class UsageError(Exception):
    """The command line itself is wrong."""


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors raised rather than printed under a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit status: the verb's own, 2 after an error of the user's, 130 after Ctrl-C.
    """
    try:
        try:
            return _run(sys.argv[1:] if argv is None else list(argv))
        finally:
            sys.stdout.flush()  # here, where a closed pipe is still ours to handle
    except BrokenPipeError:
        # The reader left (`narcost ... | head`). Python flushes stdout once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("narcost: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (UsageError, FrontendError, ProfileError, NarcostError) as error:
        return _report(str(error))
    except OSError as error:
        if error.filename is None:
            raise  # of no file that the user named: a bug, to be seen whole
        return _report(f"{error.strerror}: {error.filename}")


def _run(argv: list[str]) -> int:
    args = _parser(argv).parse_args(argv)
    status: int = args.run(args)
    return status


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    """The parser of all verbs, in which only the verb that `argv` calls has its arguments."""
    parser = _Parser(
        prog="narcost",
        description="How long a neural network will take on a device, before it runs there.",
        epilog="`narcost VERB --help` tells what a verb takes.",
    )
    parser.add_argument("--version", action="version", version=f"narcost {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    # No option before the verb takes a value, so the first argument that is no option is the verb.
    called = next((argument for argument in argv if not argument.startswith("-")), None)
    for verb, (module_name, summary) in VERBS.items():
        verb_parser = verbs.add_parser(verb, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if verb == called:
            module = import_module(module_name)
            module.add_arguments(verb_parser)
            verb_parser.set_defaults(run=module.run)
    return parser


def _report(message: str) -> int:
    """Print an error on one line, however many lines its message has."""
    print(f"narcost: error: {' '.join(message.split())}", file=sys.stderr)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
