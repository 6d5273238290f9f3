"""Providers that run jobs: looked at until they end, cancelled when nobody waits, their results fetched with care."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from handlers.providers.results import BYTES_MAX, data_uri
from listener.errors import ContentRejected, GenerationFailed, NothingProduced, ProviderDown
from tests.providers.conftest import QUICK, Provider, a_request, opened
from tests.providers.test_providers import failure_of
from tests.providers.wires import Wire, failing, picture


async def test_cancelling_the_generation_cancels_the_job(jobs: Provider) -> None:
    jobs.wire.looks = 10**6
    async with asyncio.TaskGroup() as group:
        making = group.create_task(jobs.make())
        await jobs.wire.asked.wait()
        while not jobs.wire.jobs:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        making.cancel()
    assert jobs.wire.cancelled == ["job-1"]


async def test_a_job_that_takes_too_long_is_cancelled_and_an_outage(jobs: Provider) -> None:
    async with opened(jobs.name, timeout_s=0.2) as slow:
        slow.wire.looks = 10**6
        failure = await failure_of(slow, ProviderDown)
    assert failure.details["reason"] == "timeout"
    assert slow.wire.cancelled == ["job-1"]


async def test_a_look_that_fails_for_a_moment_does_not_lose_the_job(jobs: Provider) -> None:
    jobs.wire.looks_scripted = [failing(500), failing(502)]
    assert (await jobs.make()).images
    assert len(jobs.wire.began) == len(jobs.permits) == 1
    assert jobs.wire.cancelled == []


async def test_a_provider_that_goes_away_under_a_job_is_an_outage(jobs: Provider) -> None:
    jobs.wire.looks_scripted = [failing(503)] * 3
    await failure_of(jobs, ProviderDown)
    assert jobs.wire.cancelled == ["job-1"]


async def test_a_job_that_is_gone_failed(jobs: Provider) -> None:
    jobs.wire.looks_scripted = [failing(404)]
    await failure_of(jobs, GenerationFailed)


async def test_a_job_that_fails_is_told_without_its_words(jobs: Provider) -> None:
    if jobs.name == "fal":  # its queue has no other way to end without a result
        jobs.wire.output = {"images": []}
        await failure_of(jobs, NothingProduced)
        return
    jobs.wire.failure = "out of memory for CANARY"
    failure = await failure_of(jobs, GenerationFailed)
    assert failure.details["reason"] == "job_failed"


@pytest.mark.parametrize("name", ["replicate", "fal"])
async def test_a_job_that_moderation_ended_is_the_owner_s_to_mend(name: str) -> None:
    async with opened(name) as provider:
        provider.wire.failure = "NSFW content detected: CANARY"
        await failure_of(provider, ContentRejected)


async def test_each_seed_is_a_job_with_a_permit(jobs: Provider) -> None:
    made = await jobs.make(seeds=(3, 4, 5))
    assert [image.seed for image in made.images] == [3, 4, 5]
    assert sorted(asked["seed"] for asked in jobs.wire.began) == [3, 4, 5]
    assert len(jobs.permits) == 3
    assert jobs.steps[-1] == (3, 3)


async def test_what_was_made_is_not_made_again_elsewhere_when_a_later_one_fails(jobs: Provider) -> None:
    is_made = asyncio.Event()

    async def after_the_first(wire: Wire, request: web.Request) -> web.StreamResponse:
        await is_made.wait()
        return await failing(401)(wire, request)

    jobs.wire.looks = 0
    jobs.wire.scripted = [after_the_first]
    with pytest.raises(GenerationFailed) as caught:
        await jobs.generator.generate(a_request(seeds=(1, 2)), lambda *_: is_made.set())
    assert caught.value.details["status"] == 401


async def test_a_result_that_is_too_large_is_refused(jobs: Provider) -> None:
    jobs.wire.image = b"\x89PNG\r\n\x1a\n" + b"\0" * BYTES_MAX
    jobs.wire.output = {"images": [f"{jobs.wire.url}/files/a.png"]}
    failure = await failure_of(jobs, NothingProduced)
    assert failure.details["reason"] == "too_large"


async def test_a_result_is_only_fetched_from_the_provider_s_own_hosts(jobs: Provider) -> None:
    for url in (
        "http://169.254.169.254/latest/meta-data/x.png",
        "https://replicate.delivery.evil.example/x.png",
        "https://user@replicate.delivery/x.png",
        "https://127.0.0.1/x.png",
        "http://replicate.delivery/x.png",
    ):
        jobs.wire.output = [url] if jobs.name == "replicate" else {"image": {"url": url}}
        failure = await failure_of(jobs, NothingProduced)
        assert failure.details["reason"] == "foreign_address"


async def test_a_result_may_be_a_data_uri_a_url_or_base64(jobs: Provider) -> None:
    for output in (data_uri(picture(40)), {"images": [f"{jobs.wire.url}/files/a.png"]}):
        jobs.wire.output = output if jobs.name == "replicate" or isinstance(output, dict) else {"image": output}
        jobs.wire.image = picture(40)
        assert (await jobs.make()).images[0].width == 40


async def test_the_model_s_own_names_of_its_fields_are_configuration(jobs: Provider) -> None:
    fields = {"prompt": "text", "reference": "subject", "references": None, "seed": None, "steps": "num_steps"}
    options = {**QUICK[jobs.name], "fields": fields, "input": {"go_fast": True}, "usd_per_image": 0.03}
    async with opened(jobs.name, options=options) as provider:
        made = await provider.make(steps=6)
    (asked,) = provider.wire.began
    assert asked["text"]
    assert asked["subject"].startswith("data:image/png;base64,")
    assert (asked["num_steps"], asked["go_fast"]) == (6, True)
    assert not {"input_images", "image_urls", "images", "prompt", "seed"} & asked.keys()
    assert made.cost_usd == 0.03
    assert f"seed is not used by {jobs.name}" in made.notes


@pytest.mark.parametrize("name", ["replicate", "fal"])
async def test_seconds_that_the_provider_tells_are_priced_and_abandoned_jobs_end_by_themselves(name: str) -> None:
    async with opened(name, options={**QUICK[name], "usd_per_second": 0.1}) as provider:
        made = await provider.make()
    assert made.cost_usd == pytest.approx(0.25)
    assert provider.wire.began[0]["life"] in {"5s", "5.0"}


async def test_a_version_of_a_model_at_replicate_is_asked_by_its_version() -> None:
    async with opened("replicate", model="owner/name:" + "a" * 64) as provider:
        await provider.make()
    assert provider.wire.began[0]["path"] == "/v1/predictions"
