"""`python -m devstack`: the embedded stack alone, for any outside client."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Iterator

from devstack.dev import EXPECTED
from devstack.gateway import VENDOR
from devstack.stack import Stack, open_stack

LAST_PORT = 65_535


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    parser.add_argument("--json", action="store_true", help="when ready, print one JSON line with URL and keys")
    parser.add_argument("--port", type=_port, default=0, help="0 (the default) is any free port")
    options = parser.parse_args()
    try:
        asyncio.run(_run(port=options.port, as_json=options.json))
    except* EXPECTED as group:
        raise SystemExit("\n".join(str(error) for error in _leaves(group))) from None


async def _run(*, port: int, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    has_page = VENDOR.is_dir()
    async with open_stack(port=port, page=has_page) as stack:
        told = _told(stack, has_page=has_page)
        lines = [json.dumps(told)] if as_json else [f"{name}: {value}" for name, value in told.items()]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return int(text)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _told(stack: Stack, *, has_page: bool) -> dict[str, str | None]:
    return {
        "url": stack.url,
        "anon_key": stack.keys.anon_key,
        "service_role_key": stack.keys.service_role_key,
        "publishable_key": stack.keys.publishable_key,
        "secret_key": stack.keys.secret_key,
        "jwt_secret": stack.keys.jwt_secret,
        "db_url": stack.database_url,
        "admin_key": stack.admin_key,
        "page_url": f"{stack.url}/page/" if has_page else None,
    }


if __name__ == "__main__":
    main()
