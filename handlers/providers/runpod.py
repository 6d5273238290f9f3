"""The generator at a RunPod Serverless endpoint: one job for each image. Knows its client's calls.

The client ignores statuses and sizes, so its session watches both. Its package takes seconds to import: only here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from handlers.providers.answers import AnswerError, TooLargeError, UnreachedError, retry_after_s
from handlers.providers.forms import Asked, JobOptions, read_options
from handlers.providers.jobs import CALL_S, Ended, JobGenerator
from handlers.providers.results import BYTES_MAX
from handlers.providers.wire import CONNECT_S, ERROR_BYTES_MAX, ERRORS, code_in
from listener.contract import Generator, GeneratorConfig, ProviderConfig
from listener.errors import ConfigError

try:
    from runpod.endpoint.asyncio import Endpoint, Job
except ImportError as missing:
    raise ConfigError("the generator runpod needs its client: pip install 'listener[runpod]'") from missing

PROVIDER = "runpod"
BASE_URL = "https://api.runpod.ai/v2"
FIELDS: Mapping[Asked, str] = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "width": "width",
    "height": "height",
    "steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "seed": "seed",
    "references": "images",
}
ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Bounded(aiohttp.ClientResponse):
    """An answer that ends with TooLargeError."""

    async def read(self) -> bytes:
        """Read it all, as far as it may be long."""
        if self._body is None:
            body = bytearray()
            async for chunk in self.content.iter_any():
                body += chunk
                if len(body) > BYTES_MAX:
                    self.close()
                    raise TooLargeError(f"the answer has more than {BYTES_MAX} bytes")
            self._body = bytes(body)
        return await super().read()


async def watched(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise what is no answer: the client would read an error as if it were a job."""
    try:
        response = await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UnreachedError(type(error).__name__, is_sent=False) from error
    except aiohttp.ServerTimeoutError as error:
        raise TimeoutError(type(error).__name__) from error
    except aiohttp.ClientConnectionError as error:
        raise UnreachedError(type(error).__name__, is_sent=True) from error
    if response.status >= ERRORS:
        text = (await response.content.read(ERROR_BYTES_MAX)).decode("utf-8", "replace")
        response.close()
        raise AnswerError(response.status, text, code_in(text), retry_after_s(response.headers))
    return response


class Jobs:
    """Jobs of one endpoint."""

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._base_url = (config.base_url or BASE_URL).rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def begin(self, model_input: Mapping[str, Any]) -> str:
        """Queue a job."""
        job = str((await self._endpoint().run(dict(model_input))).job_id)
        if not ID.fullmatch(job):
            raise ValueError("no id of a job")
        return job

    async def look(self, job: str) -> Ended | None:
        """Read the job."""
        looked = self._job(job)
        status = await looked.status()
        if status == "COMPLETED":
            return Ended(looked.job_output)
        return Ended(failure=status) if status in {"FAILED", "TIMED_OUT", "CANCELLED"} else None

    async def cancel(self, job: str) -> None:
        """Cancel the job."""
        await self._job(job).cancel()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _endpoint(self) -> Endpoint:
        """The client's endpoint, at our address: its own is a variable of the module."""
        endpoint = Endpoint(self._config.model, self._open(), api_key=self._config.key)
        endpoint.endpoint_url_base = self._base_url
        endpoint.endpoint_url = f"{self._base_url}/{self._config.model}/run"
        return endpoint

    def _job(self, job: str) -> Job:
        known = Job(self._config.model, job, self._open(), {"Authorization": f"Bearer {self._config.key}"})
        known.endpoint_url_base = self._base_url
        return known

    def _open(self) -> aiohttp.ClientSession:
        """The session, made where there is a loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=CALL_S, sock_connect=CONNECT_S),
                headers={"Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                response_class=Bounded,
                middlewares=(watched,),
            )
        return self._session


def runpod_generator(config: GeneratorConfig) -> Generator:
    """The generator at a RunPod endpoint. Raises: ConfigError."""
    if PROVIDER not in config.providers:
        raise ConfigError("the generator runpod needs RUNPOD_API_KEY and LISTENER_RUNPOD_ENDPOINT")
    provider = config.providers[PROVIDER]
    options = read_options(JobOptions, PROVIDER, provider.options)
    return JobGenerator(PROVIDER, provider, options=options, service=Jobs(provider), fields=FIELDS, hosts=())
