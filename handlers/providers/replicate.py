"""The generator at Replicate: one prediction for each image. Knows its client's calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from handlers.providers.forms import Asked, JobOptions, read_options
from handlers.providers.jobs import CALL_S, Ended, JobGenerator
from handlers.providers.results import BYTES_MAX
from handlers.providers.wire import CONNECT_S, Watched
from listener.contract import Generator, GeneratorConfig, ProviderConfig
from listener.errors import ConfigError

try:
    from replicate.client import Client
except ImportError as missing:
    raise ConfigError("the generator replicate needs its client: pip install 'listener[replicate]'") from missing

PROVIDER = "replicate"
HOSTS = ("replicate.delivery", "replicate.com")
FIELDS: Mapping[Asked, str] = {"prompt": "prompt", "references": "input_images", "seed": "seed"}
LEAST_LIFE_S = 5


class Predictions:
    """Predictions of one model, official or a version of somebody's."""

    def __init__(self, config: ProviderConfig) -> None:
        name, _, version = config.model.partition(":")
        self._which: dict[str, str] = {"version": version} if version else {"model": name}
        # What we cannot cancel, because this worker is gone, ends by itself.
        life = {"Cancel-After": f"{max(LEAST_LIFE_S, round(config.timeout_s))}s"}
        self._client = Client(
            api_token=config.key,
            base_url=config.base_url,
            timeout=httpx.Timeout(CALL_S, connect=CONNECT_S),
            headers=life,
            transport=Watched(BYTES_MAX),
        )

    async def begin(self, model_input: Mapping[str, Any]) -> str:
        """Create a prediction."""
        prediction = await self._client.predictions.async_create(**self._which, input=dict(model_input))  # type: ignore[call-overload]
        return str(prediction.id)

    async def look(self, job: str) -> Ended | None:
        """Read the prediction."""
        prediction = await self._client.predictions.async_get(job)
        if prediction.status == "succeeded":
            busy_s = (prediction.metrics or {}).get("predict_time")
            return Ended(prediction.output, busy_s=busy_s if isinstance(busy_s, int | float) else None)
        if prediction.status in {"failed", "canceled", "aborted"}:
            return Ended(failure=prediction.error or prediction.status)
        return None

    async def cancel(self, job: str) -> None:
        """Cancel the prediction."""
        await self._client.predictions.async_cancel(job)

    async def close(self) -> None:
        """Close the connections."""
        await self._client._async_client.aclose()  # it offers no way of its own


def replicate_generator(config: GeneratorConfig) -> Generator:
    """The generator at Replicate. Raises: ConfigError."""
    if PROVIDER not in config.providers:
        raise ConfigError("the generator replicate needs REPLICATE_API_TOKEN and LISTENER_REPLICATE_MODEL")
    provider = config.providers[PROVIDER]
    options = read_options(JobOptions, PROVIDER, provider.options)
    return JobGenerator(PROVIDER, provider, options=options, service=Predictions(provider), fields=FIELDS, hosts=HOSTS)
