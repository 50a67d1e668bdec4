"""The command line `event-hub`. Each command lies in a module of its own, imported when it is used."""

from __future__ import annotations

import importlib
import sys

import click

from .. import __version__

_COMMANDS = {
    "serve": "Start the hub.",
    "tail": "Watch events as they come.",
    "post": "Post events: one, a file of them, or a stream on stdin.",
    "sessions": "List the sessions, or show one with its turns and latencies.",
    "export": "Write the history to a file: JSON lines, CSV, subtitles.",
}


class _Commands(click.Group):
    """Commands by name. The list of them needs no import: `tail` does not wait for the server's modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="'event-hub COMMAND --help' has examples and exit codes.",
)
@click.version_option(__version__, "--version", "-V", message="event-hub %(version)s")
def group() -> None:
    """LiveKit Event Hub: every event of every running voice agent, live, to everybody who watches."""


def main() -> None:
    """Run the command line of this process, and end the process with its exit code."""
    try:
        code = group.main(prog_name="event-hub", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code)
