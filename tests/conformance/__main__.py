"""`python -m tests.conformance [rest] [storage] [realtime] [--write docs/devstack.md]`: play them, print the table.

The exit status is 1 when a difference has no reason, a reason no difference, or too little conforms.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.conformance.playing import objections, played
from tests.conformance.report import SERVICES, Case, Verdict, table, written


def main() -> None:
    """Play, print, and write when asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("services", nargs="*", help=f"of {', '.join(SERVICES)}; all by default")
    parser.add_argument("--show", metavar="TEXT", help="tell the difference of every case whose label has this text")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the markers of this page")
    options = parser.parse_args()
    services = options.services or list(SERVICES)
    if unknown := set(services) - set(SERVICES):
        parser.error(f"no such service: {', '.join(sorted(unknown))}")
    if options.write and set(services) != set(SERVICES):
        parser.error("--write needs all services")
    cases = {service: asyncio.run(played(service)) for service in services}
    if options.show is not None:
        _show(cases, options.show)
    print(table(cases))
    said = [f"{service}: {line}" for service in services for line in objections(service, cases[service])]
    if said:
        sys.exit("\n".join(said))
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(written(page, table(cases)), encoding="utf-8")


def _show(cases: dict[str, list[Case]], text: str) -> None:
    for service, played_cases in cases.items():
        for case in played_cases:
            if case.verdict is not Verdict.CONFORMS and text in case.label:
                print(f"## {service}: {case.label} ({case.verdict})\n{case.difference}\n")


if __name__ == "__main__":
    main()
