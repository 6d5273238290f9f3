"""`listener costs`: what sessions came to, day by day: time of our devices, and dollars as far as known."""

from __future__ import annotations

import click

from listener.adapters.operator import DayCosts, Operator
from listener.cli.operating import operate, table_of

HEADS = ("day", "kind", "sessions", "device s", "usd")
MOST_DAYS = 3660


@click.command()
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=7, show_default=True, help="UTC days, today too.")
@click.option("--by-owner", is_flag=True, help="A line for each owner.")
@click.option("--json", "as_json", is_flag=True, help="Print what the project answered.")
def costs(days: int, by_owner: bool, as_json: bool) -> None:
    """Show what the sessions that ended on each day came to, failed attempts too; `-` where nobody knew.

    Device time has a price where workers have LISTENER_DEVICE_PRICE_PER_HOUR_USD. Exit status: 0, 1 refused, 69 the
    project does not answer, 78 settings.
    """

    async def asked(operator: Operator) -> DayCosts:
        return await operator.costs(days, by_owner=by_owner)

    seen = operate(asked)
    if as_json:
        click.echo(seen.model_dump_json(indent=2))
    else:
        click.echo(_described(seen, by_owner) if seen.root else f"no session ended within {days} days")


def _described(seen: DayCosts, by_owner: bool) -> str:
    heads = (*HEADS[:2], "owner", *HEADS[2:]) if by_owner else HEADS
    rows: list[tuple[object, ...]] = [
        (
            one.day,
            one.kind,
            *((one.owner,) if by_owner else ()),
            one.sessions,
            _shown(one.device_s, 1),
            _shown(one.cost_usd, 4),
        )
        for one in seen.root
    ]
    known = [one.cost_usd for one in seen.root if one.cost_usd is not None]
    return table_of(rows, heads) + (f"\n\ntogether {sum(known):.4f} usd, as far as known" if known else "")


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
