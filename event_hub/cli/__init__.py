"""The `event-hub` command line. Each command is a module, imported only when it runs."""

from __future__ import annotations

import difflib
import importlib
import sys

import click

from .. import __version__

_COMMANDS = {
    "serve": "Start the hub.",
    "tail": "Watch events live.",
    "post": "Post one event, a file of events, or a stream on stdin.",
    "sessions": "List the sessions, or show one with its turns and latencies.",
    "trends": "Show figures over time: calls, errors, response times.",
    "export": "Write the history to a file: JSON lines, CSV or subtitles.",
    "share": "Make a link with which anyone can watch a room or a session, for a while.",
    "forget": "Erase events: of a session, a room, a participant, or before a time.",
    "whoami": "Show what your key allows.",
}


class _LazyGroup(click.Group):
    """Commands by name. Listing them imports nothing, so that `tail` does not wait for the server's modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            similar = difflib.get_close_matches(name, _COMMANDS, n=1)
            hint = f"Did you mean {similar[0]}?" if similar else f"The commands are {', '.join(_COMMANDS)}."
            ctx.fail(f"No such command: {name}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="'event-hub COMMAND --help' shows examples and exit codes.",
)
@click.version_option(__version__, "--version", "-V", message="event-hub %(version)s")
def group() -> None:
    """LiveKit Event Hub: watch the events of your voice agents live."""


def main() -> None:
    """Run the command line and exit with its exit code."""
    try:
        code = group.main(prog_name="event-hub", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code)
