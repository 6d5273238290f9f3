"""What saving artifacts does: they show at once, once each, and only for the attempt that counts."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from tests.sql.project import Held, Project


def artifact(held: Held, name: str = "image", **fields: Any) -> dict[str, Any]:
    path = f"owner/{held.row}.png"
    sizes = {"width": 512, "height": 512, "size_bytes": 1000, "content_type": "image/png"}
    return held.item(
        name=name,
        bucket="headshots",
        path=path,
        thumbnail_path=None,
        url="https://signed",
        expires_at="2030-01-01T00:00:00+00:00",
        **{**sizes, **fields},
    )


async def test_an_artifact_shows_while_the_session_runs(project: Project) -> None:
    held = await project.held()
    assert await project.outcomes("add_artifacts", held.worker, artifact(held)) == [("applied", None)]
    (shown,) = (await project.row(held))["result"]["artifacts"]
    assert (shown["name"], shown["bucket"], shown["path"]) == ("image", "headshots", f"owner/{held.row}.png")
    assert (shown["url"], shown["width"], shown["size_bytes"]) == ("https://signed", 512, 1000)
    assert (await project.row(held))["status"] == "processing"


async def test_the_same_name_again_replaces_the_artifact(project: Project) -> None:
    held = await project.held()
    for width in (256, 512):
        await project.outcomes("add_artifacts", held.worker, artifact(held, width=width))
    assert [shown["width"] for shown in (await project.row(held))["result"]["artifacts"]] == [512]


async def test_several_artifacts_of_one_attempt_may_come_in_one_call(project: Project) -> None:
    held = await project.held()
    outcomes = await project.outcomes("add_artifacts", held.worker, artifact(held, "a"), artifact(held, "b"))
    assert outcomes == [("applied", None)] * 2
    assert [shown["name"] for shown in (await project.row(held))["result"]["artifacts"]] == ["a", "b"]


async def test_the_result_of_a_completed_session_holds_its_artifacts(project: Project) -> None:
    held = await project.held()
    await project.outcomes("add_artifacts", held.worker, artifact(held))
    await project.settle("complete_sessions", held, result={"seed": 7})
    result = (await project.row(held))["result"]
    assert (result["seed"], len(result["artifacts"])) == (7, 1)


async def test_a_stale_attempt_cannot_add_to_the_next_one(project: Project) -> None:
    held = await project.held()
    await project.outcomes("add_artifacts", held.worker, artifact(held))
    await project.settle("release_sessions", held)
    again = await project.again(held)
    assert await project.outcomes("add_artifacts", held.worker, artifact(held, "late")) == [("refused", "SL001")]
    assert (await project.row(held))["result"] is None, "the first attempt's artifact no longer counts"
    await project.outcomes("add_artifacts", again.worker, artifact(again, "second"))
    await project.settle("complete_sessions", again, result={})
    assert [shown["name"] for shown in (await project.row(held))["result"]["artifacts"]] == ["second"]


async def test_a_failed_session_shows_no_artifacts(project: Project) -> None:
    held = await project.held()
    await project.outcomes("add_artifacts", held.worker, artifact(held))
    await project.settle("fail_sessions", held, code="generation_failed")
    assert (await project.row(held))["result"] is None


@pytest.mark.parametrize("path", ["../other/x.png", "a/../b.png", "/etc/passwd", "a/./b.png"])
async def test_a_path_that_leaves_its_folder_is_refused(project: Project, path: str) -> None:
    held = await project.held()
    with pytest.raises(asyncpg.CheckViolationError):
        await project.outcomes("add_artifacts", held.worker, {**artifact(held), "path": path})
