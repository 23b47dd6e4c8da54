"""The entry point of the command `tunefare`. Only the command that was asked for is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import typer

PROGRAM = "tunefare"
GC_THRESHOLD = 500_000
LEFT_BEHIND = "tunefare-"
"""How the names of threads begin that may still wait for an answer (`cache.workers`)."""


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command lives and what it is for; a `group` is a Typer application with commands of its own."""

    module: str
    summary: str
    group: bool = False


COMMANDS: dict[str, Command] = {
    "plan": Command("plan", "The cheapest way to train a model in time."),
    "estimate": Command("estimate", "One recipe on one GPU type: memory, speed, time, cost."),
    "calculate": Command("calculate", "The plain budget calculator: tokens, hours, dollars."),
    "methods": Command("methods", "The trade-offs of the tuning methods, and which to pick."),
    "explain": Command("explain", "Why an instance, a place or a recipe is not the choice."),
    "frontier": Command("frontier", "What each further dollar buys: cost, time and quality."),
    "sensitivity": Command("sensitivity", "What the cost hangs on, and what an hour is worth."),
    "portfolio": Command("portfolio", "Many jobs under shared quotas and budgets."),
    "study": Command("study", "A plan in thousands of scenarios of prices and speeds."),
    "simulate": Command("simulate", "Spot policies replayed over availability traces."),
    "next": Command("next", "The next action under a plan's spot policy."),
    "probe": Command("probe", "Measures real training on the GPU that is there."),
    "calibrate": Command("calibrate", "Fit the estimates to runs that you measured."),
    "policy": Command("policy", "Whether a policy is sound, and decides as you mean.", group=True),
    "prices": Command("prices", "The prices that a plan sees.", group=True),
    "budget": Command("budget", "Limits, and what is spent, reserved and left of them.", group=True),
    "ledger": Command("ledger", "What was asked for, approved, reserved and spent.", group=True),
    "settle": Command("settle", "What a launch really cost."),
    "void": Command("void", "Gives back what was reserved and never launched."),
    "audit": Command("audit", "Whether the ledger's record is whole.", group=True),
}

EPILOG = """Nothing needs an account: the bundled price list answers, and says how old it is. Start with:

\b
tunefare plan --model llama-3.1-8b --samples 13300 --tokens-per-sample 400 \\
    --epochs 4 --deadline 24h
"""


def run() -> None:
    """Run the command line given by `sys.argv` and exit with its code (README, exit codes)."""
    if sys.stdout is None:  # `>&-`: nobody wants to see it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    # A command lives for a second: collecting cycles that often costs a tenth of it and frees next to nothing.
    gc.set_threshold(GC_THRESHOLD)
    # Matrices here are small: on a busy machine the threads of NumPy's linear algebra cost ten times what they save.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _leave(main(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """End the process, at once where a thread of a refresh still waits for an answer that nobody reads any more."""
    import threading

    if any(thread.name.startswith(LEFT_BEHIND) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Return the exit code of `tunefare` with `arguments`. Never raises: each failure is one line on stderr."""
    from .shadowing import find_shadow

    if shadow := find_shadow():
        # Said before our other packages are imported: what is imported then may not be ours.
        sys.stderr.write(f"{PROGRAM}: error: {shadow}\n")
        return 1
    from .errors import report_failures

    given = list(arguments)
    traceback = bool(os.environ.get("TUNEFARE_TRACEBACK"))
    if "--traceback" in given:
        given.remove("--traceback")
        traceback = True
    return report_failures(lambda: _invoke(given), traceback=traceback)


def _invoke(arguments: list[str]) -> int:
    outcome: object = build_app(_wanted(arguments))(arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    return outcome if isinstance(outcome, int) else 0


def _wanted(arguments: list[str]) -> set[str]:
    """Return the commands that are needed: the one that stands first; all of them to complete a line in the shell."""
    if "_TUNEFARE_COMPLETE" in os.environ:
        return set(COMMANDS)
    return {arguments[0]} & COMMANDS.keys() if arguments else set()


def build_app(wanted: set[str]) -> typer.Typer:
    """Return the application; commands that are not `wanted` are names with a summary, their modules not imported."""
    import typer

    # Unused options of the application cost a command 70 ms: Typer loads pydantic to find out that they are not given.
    alone = len(wanted) == 1
    app = typer.Typer(
        help="Which cloud GPU, how many, which quantization and which fine-tuning method: for least money, in time.",
        epilog=EPILOG,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=not alone,
        add_help_option=not alone,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root())
    for name, command in COMMANDS.items():
        if name not in wanted:
            app.command(name, help=command.summary)(_absent)
        elif command.group:
            app.add_typer(import_module(f".{command.module}", __package__).app, name=name, help=command.summary)
        else:
            _add(app, name, command)
    return app


def _add(app: typer.Typer, name: str, command: Command) -> None:
    from .grouped_help import GroupedCommand

    module = import_module(f".{command.module}", __package__)
    function: Callable[..., int] = getattr(module, name)
    app.command(name, cls=GroupedCommand, epilog=getattr(module, "EPILOG", None))(function)


def _root() -> Callable[..., None]:
    """Return the options of `tunefare` itself, declared where Typer is imported already."""
    import typer

    def root(
        *,
        version: bool = typer.Option(
            False, "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
        traceback: bool = typer.Option(False, "--traceback", help="Show where an unexpected error comes from."),
    ) -> None:
        pass

    return root


def _print_version(wanted: bool) -> None:
    if wanted:
        import typer

        from optimizer.version import VERSION

        sys.stdout.write(f"{PROGRAM} {VERSION}\n")
        raise typer.Exit


def _absent() -> None:
    """Stand in for a command that was not asked for, so that the list of commands is complete."""
