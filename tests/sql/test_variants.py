"""Tests of prompts and models: which variant a session draws, that nobody chooses his own, and how variants compare."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, insert, watch
from tests.sql.project import Project
from tests.sql.tryon import ask, open_store, order, take

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def variant(project: Project, name: str, share: float = 1, overrides: Any = None, kind: str = "tryon") -> None:
    await project.connection.execute(
        "insert into listener.variants (kind, name, share, overrides) values ($1, $2, $3::float8::numeric, $4)",
        kind,
        name,
        share,
        overrides if overrides is not None else {"pipeline": name},
    )


async def drawn(project: Project) -> dict[str | None, int]:
    found = await project.rows("select variant, count(*) as n from listener.sessions group by variant")
    return {row["variant"]: row["n"] for row in found}


async def test_without_variants_nothing_is_drawn(project: Project, owner: UUID) -> None:
    await ask(project, owner)
    assert await drawn(project) == {None: 1}
    (held,) = await take(project)
    assert "variant" not in (await project.session(held))["params"]


async def test_sessions_draw_in_proportion_to_the_shares(project: Project, owner: UUID) -> None:
    await project.grant(owner, 4000)
    await variant(project, "usual", 3)
    await variant(project, "new", 1)
    await ask(project, owner, 4000)
    counts = await drawn(project)
    assert set(counts) == {"usual", "new"}
    assert abs(counts["new"] - 1000) < 150, "five standard deviations"


async def test_every_number_draws_exactly_one(project: Project) -> None:
    for n in range(7):
        await variant(project, f"v{n}", (n + 1) / 7)
    parts = await project.rows("select low, high from listener.active_variants('tryon') order by low")
    assert (parts[0]["low"], parts[-1]["high"]) == (0, 1)
    assert [part["high"] for part in parts[:-1]] == [part["low"] for part in parts[1:]]


async def test_the_worker_gets_the_overrides_and_the_session_keeps_the_name(project: Project) -> None:
    store = await open_store(project)
    await variant(project, "new", overrides={"prompt_template": "In the rain: {prompt}"})
    await order(project, store)
    worker = await project.worker(kinds=("tryon",))
    (claimed,) = await project.claim(worker, 1, None, "tryon")
    assert claimed["params"]["variant"] == {"name": "new", "overrides": {"prompt_template": "In the rain: {prompt}"}}
    await project.connection.execute("update listener.variants set active = false")
    await project.outcomes("release_sessions", worker, {"session": str(claimed["session"]), "attempt": 1})
    (again,) = await project.claim(worker, 1, None, "tryon")
    assert again["params"]["variant"]["name"] == "new", "what was drawn is kept"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await project.connection.execute("update listener.sessions set variant = 'other'")
    assert refused.value.sqlstate == "SL003"


async def test_an_inactive_variant_is_drawn_no_more(project: Project, owner: UUID) -> None:
    await variant(project, "old", 1000)
    await variant(project, "new")
    await project.connection.execute("update listener.variants set active = false where name = 'old'")
    await ask(project, owner, 5)
    assert await drawn(project) == {"new": 5}


@pytest.mark.parametrize("is_tested", [False, True])
async def test_a_column_named_variant_forges_nothing(project: Project, owner: UUID, is_tested: bool) -> None:
    await project.connection.execute(PLAIN + "alter table public.portrait_sessions add variant jsonb")
    await watch(project)
    if is_tested:
        await variant(project, "ours", kind="portrait")
    forged = {"name": "mine", "overrides": {"pipeline": "the dear one"}}
    await insert(project, owner, variant=forged)
    worker = await project.worker(kinds=("portrait",))
    (claimed,) = await project.claim(worker, 1, None, "portrait")
    assert claimed["params"].get("variant") == (
        {"name": "ours", "overrides": {"pipeline": "ours"}} if is_tested else None
    )


async def test_the_results_of_variants_stand_side_by_side(project: Project, owner: UUID) -> None:
    await project.set_clock(NOW)
    await variant(project, "dear")
    await ask(project, owner, 3)
    held = await take(project, 3)
    for n, attempt in enumerate(held):
        await project.set_clock(NOW + timedelta(seconds=10 * (n + 1)))
        if n < 2:
            await project.settle("complete_sessions", attempt, result={"cost_usd": 0.04 if n == 0 else "unknown"})
        else:
            await project.settle("fail_sessions", attempt, code="generation_failed")
    (row,) = await project.rows("select * from listener.variant_results")
    assert (row["kind"], row["variant"], row["sessions"], row["completed"], row["failed"]) == ("tryon", "dear", 3, 2, 1)
    assert float(row["success"]) == pytest.approx(2 / 3, abs=1e-4)
    assert (row["duration_s_p50"], row["duration_s_p95"]) == (15, 19.5)
    assert (row["credits_kept"], float(row["cost_usd"]), float(row["cost_usd_mean"])) == (2, 0.04, 0.04)


async def test_a_variant_that_cannot_be_meant_is_refused(project: Project) -> None:
    await variant(project, "usual")
    for wrong in ("name = 'a b'", "share = 0", "share = -1", "share = 'nan'", "overrides = '[]'", "kind = 'nothing'"):
        with pytest.raises((asyncpg.CheckViolationError, asyncpg.ForeignKeyViolationError)):
            await project.connection.execute(f"update listener.variants set {wrong}")
