"""Failures as people meet them: one line on stderr, a documented exit code, a traceback only when asked for."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from typer import Abort

from providers.errors import JobError, TunefareError, one_line

OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What writing to stdout may meet; an error of a file carries that file's name."""

INTERRUPTED = 130
BUG = 1
USAGE = 2


def report_failures(command: Callable[[], int], *, traceback: bool) -> int:
    """Return the exit code of `command()`, having written what went wrong, if anything did, as one line."""
    try:
        code = command()
    except TunefareError as err:
        return _say(_in_flags(err), err.exit_code)
    except BrokenPipeError:
        # A reader that has seen enough (`--help | head`) is no failure.
        silence_stdout()
        code = 0
    except (KeyboardInterrupt, Abort):
        code = INTERRUPTED
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else BUG
    except Exception as err:
        if isinstance(err, OSError) and err.errno in OUTPUT_ERRORS and err.filename is None:
            silence_stdout()
            code = _say(f"the output cannot be written ({err.strerror})", USAGE)
        elif traceback:
            raise
        else:
            code = _report_other(err)
    if code == INTERRUPTED:
        _say("interrupted", INTERRUPTED)
    return code


def silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about a closed or full one."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return


def _in_flags(err: TunefareError) -> str:
    """Return the message; a key of the command line is written as it was typed: `--seq-len`, not `seq_len`."""
    if isinstance(err, JobError) and err.where == "command line" and err.key.replace("-", "_").isidentifier():
        flag = "--" + err.key.replace("_", "-")
        return str(JobError(where=err.where, key=flag, value=err.value, allowed=err.allowed))
    return str(err)


def _report_other(err: Exception) -> int:
    """Write a usage error of Typer (which may carry its own copy of click: known by its methods), or a bug."""
    describe = getattr(err, "format_message", None)
    if callable(describe):
        context = getattr(err, "ctx", None)
        path = getattr(context, "command_path", "tunefare")
        text = str(describe()).rstrip(".")
        return _say(f"{text[:1].lower()}{text[1:]} (see '{path} --help')", USAGE)
    return _say(
        f"{type(err).__name__}: {err}; this is a bug: add --traceback (or TUNEFARE_TRACEBACK=1) to see where", BUG
    )


def _say(message: str, code: int) -> int:
    """Write `message` as one line to stderr and return `code`."""
    line = one_line(message)
    try:
        sys.stderr.write(f"tunefare: error: {line}\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads it: the exit code says it all
    return code
