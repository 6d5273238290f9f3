"""The generator at fal: one request in its queue for each image. Knows its client's calls.

The client takes the addresses of a request from the answer; ours are made of its id, so that the key goes to fal alone.
"""

from __future__ import annotations

import re
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
    import fal_client
except ImportError as missing:
    raise ConfigError("the generator fal needs its client: pip install 'listener[fal]'") from missing

PROVIDER = "fal"
QUEUE = "queue.fal.run"
HOSTS = ("fal.media", "fal.ai", "fal.run")
FIELDS: Mapping[Asked, str] = {"prompt": "prompt", "references": "image_urls", "seed": "seed", "size": "image_size"}
ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Client(fal_client.AsyncClient):
    """fal's client on our transport: it would repeat a 429 up to ten times."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(key=config.key, default_timeout=CALL_S)
        self._http = httpx.AsyncClient(
            transport=Watched(BYTES_MAX, QUEUE, config.base_url),
            headers={"Authorization": f"Key {config.key}"},
            timeout=httpx.Timeout(CALL_S, connect=CONNECT_S),
            follow_redirects=False,
        )

    @property
    async def _client(self) -> httpx.AsyncClient:
        return self._http

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class Queue:
    """Requests to one model."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model = config.model
        self._start_s = max(2.0, config.timeout_s)
        self._client = Client(config)

    async def begin(self, model_input: Mapping[str, Any]) -> str:
        """Put a request into the queue; what has not begun by then never does."""
        handle = await self._client.submit(self._model, dict(model_input), start_timeout=self._start_s)
        if not ID.fullmatch(handle.request_id):
            raise ValueError("no id of a request")
        return handle.request_id

    async def look(self, job: str) -> Ended | None:
        """Read the request's status, and its result when it has one."""
        status = await self._client.status(self._model, job)
        if not isinstance(status, fal_client.Completed):
            return None
        busy_s = (status.metrics or {}).get("inference_time")
        if status.error:
            return Ended(failure=f"{status.error_type or ''} {status.error}")
        output = await self._client.result(self._model, job)
        return Ended(output, busy_s=busy_s if isinstance(busy_s, int | float) else None)

    async def cancel(self, job: str) -> None:
        """Cancel the request."""
        await self._client.cancel(self._model, job)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def fal_generator(config: GeneratorConfig) -> Generator:
    """The generator at fal. Raises: ConfigError."""
    if PROVIDER not in config.providers:
        raise ConfigError("the generator fal needs FAL_KEY and LISTENER_FAL_MODEL")
    provider = config.providers[PROVIDER]
    options = read_options(JobOptions, PROVIDER, provider.options)
    return JobGenerator(PROVIDER, provider, options=options, service=Queue(provider), fields=FIELDS, hosts=HOSTS)
