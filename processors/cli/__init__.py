"""The command `muster`: one module a command, or a few that belong together.

``application.py`` is the list of commands, ``invocation.py`` what they share (settings, output, exit codes). A
command's module turns options into calls and answers into text or JSON; what it calls lives elsewhere.
"""


def main() -> None:
    """The console script."""
    from processors.cli.application import run

    raise SystemExit(run())
