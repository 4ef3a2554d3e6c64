"""The command line: ``graphc`` and ``python -m graphc``.

Results go to standard output, all else to standard error. The exit code is 0 if all is well, 1 if the command found a
problem, 2 if it was used wrongly, 130 after Ctrl-C, and 141 where nobody reads the output any more.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from graphc._version import __version__
from graphc.errors import GraphError, PassError, VerifyError

__all__ = ["main"]

_PROBLEM, _WRONG_USE, _INTERRUPTED, _BROKEN_PIPE = 1, 2, 130, 141

_COMMANDS = {
    "viz": "Draw a graph: DOT, SVG, PNG, HTML or text.",
    "explain": "What each pass did, and why operations were fused or not.",
    "profile": "Where the time of a call goes.",
    "source": "The generated kernels.",
    "train": "Run one of the examples that come with graphc.",
    "cache": "The kernel cache: info, verify, clear.",
    "doctor": "Check the installation and this machine.",
}


class _Commands(click.Group):
    """The commands, each in a module of its own that is imported when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from graphc.cli.errors import unknown

            raise unknown("command", args[0], _COMMANDS)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still buffered must not fail once more when the interpreter flushes it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _BROKEN_PIPE
        return result

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="graphc")
def commands() -> None:
    """Look into, measure and check graphs that graphc compiles.

    FILE:NAME is a Python file and the name, in it, of a compiled function, a graph, a value or a list of values, or of
    a function without arguments that returns one of these.

    The exit code is 0 if all is well, 1 if a command found a problem, 2 if it was used wrongly.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: those after the program's name; by default the process's own.

    Returns:
        The exit code.
    """
    try:
        result = commands.main(arguments, "graphc", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return _WRONG_USE
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f"\n  see: {context.command_path} --help" if context is not None else ""
        return _failed(f"{error.format_message()}{hint}", error.exit_code)
    except GraphError as error:
        return _failed(str(error), _PROBLEM if isinstance(error, PassError | VerifyError) else _WRONG_USE)
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted", _INTERRUPTED)
    except OSError as error:
        return _failed(str(error), _PROBLEM)
    except MemoryError as error:
        return _failed(f"not enough memory: {error}", _PROBLEM)


def _failed(message: str, code: int) -> int:
    click.echo(f"graphc: {message}", err=True)
    return code
