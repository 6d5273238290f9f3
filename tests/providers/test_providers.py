"""What every provider's generator promises, each by its official client against a server of its wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from listener.errors import (
    AttemptFailure,
    ContentRejected,
    GenerationFailed,
    NothingProduced,
    ProviderBusy,
    ProviderDown,
    ProviderMisconfigured,
    ProviderRefused,
)
from tests.providers.conftest import Provider, a_request, opened
from tests.providers.wires import KEY, PROMPT, Wire, answering, endless, failing, mute, picture, torn


async def failure_of(provider: Provider, kind: type[AttemptFailure], **fields: Any) -> AttemptFailure:
    """How a generation fails; nothing of ours is in what is told of it."""
    with pytest.raises(kind) as caught:
        await provider.make(**fields)
    assert type(caught.value) is kind
    told = f"{caught.value} {caught.value.details} {caught.value.__cause__}"
    assert "CANARY" not in told
    assert caught.value.details["provider"] == provider.name
    return caught.value


async def test_an_image_is_made_with_every_reference_and_says_by_whom(provider: Provider) -> None:
    made = await provider.make(width=1024, height=1536)
    (image,) = made.images
    assert (image.width, image.height, image.seed) == (32, 40, 7)
    assert image.rgb[:3] == b"\xff\x00\x00"
    assert (made.device, made.model) == (provider.name, provider.generator.status().details["model"])
    assert provider.wire.keys[0].split()[-1] == KEY
    (asked,) = provider.wire.began
    assert asked["prompt"] == PROMPT
    references = next(asked[name] for name in ("images", "input_images", "image_urls") if name in asked)
    assert len(references) == 2
    assert [request.prompt for request in provider.permits] == [PROMPT]
    assert provider.steps == [(1, 1)]


async def test_a_pipeline_that_a_variant_names_is_told_to_be_unused(provider: Provider) -> None:
    note = f"pipeline is not used by {provider.name}"
    assert note in (await provider.make(kind="edit-b", session_kind="tryon")).notes
    assert note not in (await provider.make(session_kind="tryon")).notes


async def test_a_clip_is_refused_before_anything_is_paid_for(provider: Provider) -> None:
    failure = await failure_of(provider, ProviderMisconfigured, audio=b"RIFF")
    assert "no clips" in str(failure)
    assert (provider.wire.began, provider.permits) == ([], [])


async def test_moderation_is_the_owner_s_to_mend_and_ends_at_once(provider: Provider) -> None:
    said = "Your request was rejected by the safety system. content_policy_violation"
    provider.wire.always = failing(422 if provider.name == "fal" else 400, "moderation_blocked", said)
    failure = await failure_of(provider, ContentRejected)
    assert failure.public_message.startswith("This request cannot be generated because of its content.")
    assert len(provider.wire.began) == 1


async def test_a_refused_key_is_the_operator_s_to_mend_and_ends_at_once(provider: Provider) -> None:
    for tries, status in enumerate((401, 403), 1):
        provider.wire.always = failing(status, "invalid_api_key", "Incorrect API key provided")
        failure = await failure_of(provider, ProviderMisconfigured)
        assert (failure.details["status"], len(provider.wire.began)) == (status, tries)


async def test_a_busy_provider_is_not_asked_again_and_tells_when(provider: Provider) -> None:
    provider.wire.always = failing(429, "rate_limit_exceeded", **{"Retry-After": "17"})
    failure = await failure_of(provider, ProviderBusy)
    assert (failure.retry_after_s, len(provider.wire.began)) == (17.0, 1)


async def test_an_empty_account_is_no_busy_provider(provider: Provider) -> None:
    provider.wire.always = failing(429, "insufficient_quota", "You exceeded your quota: insufficient_quota")
    await failure_of(provider, ProviderMisconfigured)


async def test_a_5xx_is_asked_again_each_time_with_a_permit(provider: Provider) -> None:
    provider.wire.scripted = [failing(500), failing(503)]
    assert (await provider.make()).images
    assert (len(provider.wire.began), len(provider.permits)) == (3, 3)


async def test_a_5xx_that_stays_is_an_outage(provider: Provider) -> None:
    provider.wire.always = failing(502, "bad_gateway")
    failure = await failure_of(provider, ProviderDown)
    assert failure.details["status"] == 502
    assert len(provider.wire.began) == 3


async def test_an_error_that_nobody_can_read_is_judged_by_its_status(provider: Provider) -> None:
    provider.wire.always = answering("[" * 60_000, 502)
    assert (await failure_of(provider, ProviderDown)).details["status"] == 502


async def test_a_400_of_another_sort_is_our_mistake_and_ends_at_once(provider: Provider) -> None:
    provider.wire.always = failing(400, "invalid_value", "size is not supported")
    failure = await failure_of(provider, ProviderRefused)
    assert (failure.details["status"], len(provider.wire.began)) == (400, 1)


async def test_a_connection_lost_after_the_request_is_an_outage_and_no_second_request(provider: Provider) -> None:
    provider.wire.always = torn
    failure = await failure_of(provider, ProviderDown)
    assert (failure.details["reason"], len(provider.wire.began)) == ("no_connection", 1)


async def test_nobody_there_is_asked_again_and_then_an_outage(provider: Provider) -> None:
    async with opened(provider.name, base_url="http://127.0.0.1:9") as nobody:
        failure = await failure_of(nobody, ProviderDown)
    assert failure.details["reason"] == "no_connection"
    assert len(nobody.permits) == 3


@pytest.mark.parametrize(
    "answer", ["<html>sorry</html>", "{}", "null", "[" * 60_000], ids=["page", "empty", "null", "deep"]
)
async def test_an_answer_of_another_shape_is_told_and_not_repeated(provider: Provider, answer: str) -> None:
    provider.wire.always = answering(answer)
    await failure_of(provider, NothingProduced)
    assert len(provider.wire.began) == 1


async def test_an_answer_without_an_end_is_refused(provider: Provider) -> None:
    provider.wire.always = endless
    async with asyncio.timeout(20):
        failure = await failure_of(provider, ProviderRefused)
    assert failure.details["reason"] == "too_large"


@pytest.mark.parametrize("image", [b"\x89PNG\r\n\x1a\n" + b"broken" * 20, b"<svg>" + b" " * 200])
async def test_what_is_no_image_is_told_and_not_made_again(provider: Provider, image: bytes) -> None:
    provider.wire.image = image
    failure = await failure_of(provider, NothingProduced)
    assert failure.details["reason"] == "unreadable_image"


async def test_a_redirect_is_not_followed(provider: Provider) -> None:
    provider.wire.always = failing(307, Location="http://127.0.0.1:9/elsewhere")
    failure = await failure_of(provider, ProviderRefused)
    assert failure.details["status"] == 307


async def test_a_slow_provider_is_an_outage() -> None:
    async with opened("openai", timeout_s=0.3) as provider:
        provider.wire.always = mute
        failure = await failure_of(provider, ProviderDown)
        assert failure.details["reason"] == "timeout"
        await asyncio.wait_for(provider.wire.left.wait(), 5)


async def test_cancelling_leaves_openai_s_request() -> None:
    async with opened("openai") as provider:
        provider.wire.always = mute
        async with asyncio.TaskGroup() as group:
            making = group.create_task(provider.make())
            await provider.wire.asked.wait()
            making.cancel()
        await asyncio.wait_for(provider.wire.left.wait(), 5)


async def test_several_images_are_one_request_to_openai_and_without_references_it_generates() -> None:
    async with opened("openai", options={"quality": "high", "usd_per_image": 0.5}) as provider:
        made = await provider.make(seeds=(1, 2), references=(), negative_prompt="blur", steps=9, width=900, height=600)
    assert [image.seed for image in made.images] == [1, 2]
    (asked,) = provider.wire.began
    assert (asked["path"], asked["n"], asked["size"]) == ("/v1/images/generations", 2, "1536x1024")
    assert (asked["quality"], made.cost_usd, made.pipeline_class) == ("high", 1.0, "images.generations")
    assert "negative_prompt is not used by openai" in made.notes
    assert "num_inference_steps is not used by openai" in made.notes


async def test_what_openai_s_tokens_cost_is_told_by_configured_prices() -> None:
    prices = {"text_in": 5, "image_in": 10, "out": 40}
    async with opened("openai", options={"usd_per_million_tokens": prices}) as provider:
        made = await provider.make()
    assert made.cost_usd == pytest.approx((50 * 5 + 500 * 10 + 1000 * 40) / 1e6)


async def test_an_image_that_decodes_to_too_many_pixels_is_refused() -> None:
    async with opened("openai") as provider:
        provider.wire.image = picture(side=5200)
        failure = await failure_of(provider, NothingProduced)
    assert failure.details["reason"] == "unreadable_image"


async def test_a_pack_is_drawn_prompt_by_prompt_and_comes_back_in_its_order(provider: Provider) -> None:
    prompts = ("CANARY front", "CANARY profile", "CANARY smiling")
    made = await provider.make(prompt="", prompts=prompts, seeds=(3, 1, 2))
    assert [image.seed for image in made.images] == [3, 1, 2]
    assert sorted(asked["prompt"] for asked in provider.wire.began) == sorted(prompts)
    assert sorted(request.prompt for request in provider.permits) == sorted(prompts), "each with a permit"
    assert provider.steps == [(1, 3), (2, 3), (3, 3)]


async def test_one_prompt_for_several_images_is_sent_as_one(provider: Provider) -> None:
    made = await provider.make(prompt="", prompts=("CANARY face",) * 2, seeds=(1, 2))
    assert len(made.images) == 2
    assert {asked["prompt"] for asked in provider.wire.began} == {"CANARY face"}
    assert len(provider.wire.began) == (1 if provider.name == "openai" else 2)


async def test_a_pack_half_made_elsewhere_is_not_made_again_by_another_generator(provider: Provider) -> None:
    refused, first_is_made = failing(401, "invalid_api_key"), asyncio.Event()

    async def whole(wire: Wire, _request: web.Request) -> web.StreamResponse:
        return web.json_response(wire.made(wire.began[-1]))

    async def refused_later(wire: Wire, request: web.Request) -> web.StreamResponse:
        await first_is_made.wait()
        return await refused(wire, request)

    provider.wire.scripted = [whole, refused_later]
    request = a_request(prompt="", prompts=("CANARY front", "CANARY profile"), seeds=(1, 2))
    with pytest.raises(GenerationFailed, match="1 images were made"):
        await provider.generator.generate(request, lambda *_: first_is_made.set())
