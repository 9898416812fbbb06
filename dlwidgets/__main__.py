"""The command line: `dlwidgets demo` and `dlwidgets info`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import __version__
from .demo import DEFAULT_FOLDER, run_demo


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    given, options = given[:cut], given[cut + 1 :]
    chosen = _parser().parse_args(given)
    if chosen.command == "info":
        from .info import find_info, is_broken, tabulate_info

        info = find_info()
        print(json.dumps(info, indent=2) if chosen.json else tabulate_info(info))
        return int(is_broken(info))
    return run_demo(
        chosen.folder, copy_only=chosen.copy_only, browser=not chosen.no_browser, port=chosen.port, options=options
    )


def _parser() -> argparse.ArgumentParser:
    about = "See and steer a PyTorch model while it trains."
    parser = argparse.ArgumentParser("dlwidgets", description=about)
    parser.add_argument("--version", action="version", version=f"dlwidgets {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="copy the notebooks to a folder and open JupyterLab there",
        description="Copy the notebooks to a folder and open JupyterLab on the tour. "
        "A notebook that you changed is never overwritten.",
        epilog="What follows a lone -- goes to JupyterLab, as in: dlwidgets demo -- --ip=0.0.0.0",
    )
    demo.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER",
                      help="where to copy them (default: ./%(default)s)")  # fmt: skip
    demo.add_argument("--no-browser", action="store_true", help="start JupyterLab and only print its address")
    demo.add_argument("--port", type=int, help="the port of JupyterLab (default: 8888, or the next free one)")
    demo.add_argument("--copy-only", action="store_true", help="copy the notebooks and start nothing")
    info = commands.add_parser(
        "info",
        help="say what dlwidgets runs in, and what is wrong there",
        description="Say the versions, the state of the JupyterLab extension, the machine, and known conflicts. "
        "The exit status is 1 where dlwidgets does not work by one of them.",
    )
    info.add_argument("--json", action="store_true", help="as JSON, for the report of a fault")
    for one in (parser, demo, info):
        one.suggest_on_error = True  # from Python 3.14 on
    return parser


if __name__ == "__main__":
    sys.exit(main())
