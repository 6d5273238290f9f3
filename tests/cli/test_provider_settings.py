"""Who makes the images of a kind is configuration, and what it lacks is named at the start."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from handlers.infinitetalk.files import WEIGHTS
from listener.cli.check_machine import check_machine
from listener.cli.findings import Finding
from listener.contract import EngineConfig, GenerationRequest, RemoteGenerator
from listener.engine.clock import SystemClock
from listener.engine.routing import RoutedGenerator
from listener.errors import ConfigError, ModelUnavailable
from listener.routes import build_generator, build_generators
from listener.settings import load_settings
from listener.surroundings import introduction
from listener.telemetry.metrics import Metrics
from tests.cli.test_settings import problems
from tests.handlers.talking import STAND_IN, Studio, picture, sound

KEY = "key-CANARY-0123456789"
ALL = {
    "OPENAI_API_KEY": KEY,
    "REPLICATE_API_TOKEN": KEY,
    "LISTENER_REPLICATE_MODEL": "owner/name",
    "FAL_KEY": KEY,
    "LISTENER_FAL_MODEL": "fal-ai/flux-2/edit",
    "RUNPOD_API_KEY": KEY,
    "LISTENER_RUNPOD_ENDPOINT": "abc123",
}


def test_a_route_is_read_for_any_kind_from_the_environment_and_from_the_file(
    complete: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    complete.setenv("OPENAI_API_KEY", KEY)
    complete.setenv("LISTENER_TRYON_GENERATORS", " openai , local,openai")
    (tmp_path / ".env").write_text("LISTENER_MY_OWN_KIND_GENERATORS=local\nLISTENER_PACK_GENERATORS=\n")
    settings = load_settings()
    assert settings.routes == {"tryon": ("openai", "local"), "my_own_kind": ("local",)}
    assert settings.routes_of(["headshot", "tryon"]) == {"headshot": ("local",), "tryon": ("openai", "local")}


def test_a_worker_tells_the_model_of_whom_it_asks_first(complete: pytest.MonkeyPatch) -> None:
    for name, value in ALL.items():
        complete.setenv(name, value)
    complete.setenv("LISTENER_PACK_GENERATORS", "fal,local")
    complete.setenv("LISTENER_TRYON_GENERATORS", "local,openai")
    complete.setenv("LISTENER_TRYON_MODEL", "org/tryon")
    models = introduction(load_settings(), uuid4(), ("headshot", "pack", "tryon")).devices["models"]
    assert (models["pack"], models["tryon"]) == ("fal-ai/flux-2/edit", "org/tryon")


def test_a_provider_that_is_named_without_what_it_needs_is_a_named_mistake(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_GENERATOR", "openai")
    complete.setenv("LISTENER_TRYON_GENERATORS", "replicate,fal,local,runpod")
    complete.setenv("REPLICATE_API_TOKEN", KEY)
    (problem,) = problems()
    assert problem.split("; ") == [
        "LISTENER_GENERATOR names openai, which needs OPENAI_API_KEY",
        "LISTENER_TRYON_GENERATORS names replicate, which needs LISTENER_REPLICATE_MODEL",
        "LISTENER_TRYON_GENERATORS names fal, which needs FAL_KEY and LISTENER_FAL_MODEL",
        "LISTENER_TRYON_GENERATORS names runpod, which needs RUNPOD_API_KEY and LISTENER_RUNPOD_ENDPOINT",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LISTENER_HEADSHOT_GENERATORS", "opnai", "LISTENER_HEADSHOT_GENERATORS names 'opnai', which is not installed"),
        ("LISTENER_HEADSHOTS_GENERATORS", "local", "did you mean LISTENER_HEADSHOT_GENERATORS?"),
        ("LISTENER_OPENAI_OPTIONS", '{"sise": "auto"}', "LISTENER_OPENAI_OPTIONS: sise: Extra inputs"),
        ("LISTENER_RUNPOD_OPTIONS", '{"fields": {"promt": "x"}}', "LISTENER_RUNPOD_OPTIONS: fields.promt"),
    ],
)
def test_what_cannot_be_built_is_named_by_its_variable(
    complete: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    for variable, given in (ALL | {"LISTENER_HEADSHOT_GENERATORS": "openai,runpod", name: value}).items():
        complete.setenv(variable, given)
    with pytest.raises(ConfigError) as caught:
        build_generators(load_settings(), ["headshot"])
    assert said in str(caught.value)
    assert "CANARY" not in str(caught.value)


async def test_only_what_a_route_names_is_built_and_one_of_this_machine_alone_has_no_route(
    complete: pytest.MonkeyPatch,
) -> None:
    for variable, given in ALL.items():
        complete.setenv(variable, given)
    alone = build_generator(load_settings(), ["headshot"], Metrics(), SystemClock())
    assert not isinstance(alone, RoutedGenerator | RemoteGenerator)
    complete.setenv("LISTENER_HEADSHOT_GENERATORS", "openai,replicate,fal,runpod")
    built = build_generators(load_settings(), ["headshot"])
    assert list(built) == ["openai", "replicate", "fal", "runpod"]
    assert all(isinstance(generator, RemoteGenerator) for generator in built.values())
    for generator in built.values():
        await generator.close()


TALK = {
    "LISTENER_INFINITETALK_COMMAND": "'/opt/it env/bin/python' /opt/InfiniteTalk/generate_infinitetalk.py",
    "LISTENER_INFINITETALK_ARGUMENTS": "--quant fp8 --quant_dir '/models/a b.safetensors'",
    "LISTENER_INFINITETALK_STEPS": "8",
    "LISTENER_INFINITETALK_LIMIT_S": "900",
    "LISTENER_INFINITETALK_DOWNLOAD": "false",
    "MODEL_STORAGE_PATH": "/models",
}


def test_an_engine_is_run_as_its_variables_say_and_named_without_them(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_HEADSHOT_GENERATORS", "infinitetalk")
    words = "LISTENER_HEADSHOT_GENERATORS names infinitetalk, which needs {}"
    assert problems() == [words.format("LISTENER_INFINITETALK_COMMAND and MODEL_STORAGE_PATH")]
    for variable, given in TALK.items():
        complete.setenv(variable, given)
    engine = load_settings().generator_config().engines["infinitetalk"]
    assert engine == EngineConfig(
        ("/opt/it env/bin/python", "/opt/InfiniteTalk/generate_infinitetalk.py"),
        ("--quant", "fp8", "--quant_dir", "/models/a b.safetensors"),
        steps=8,
        limit_s=900,
        download=False,
    )
    complete.setenv("LISTENER_INFINITETALK_COMMAND", "python 'generate")
    assert "LISTENER_INFINITETALK_COMMAND" in problems()[0]


def model_files() -> Finding:
    return next(finding for finding in check_machine(load_settings(), ["headshot"]) if finding.name == "model files")


async def test_an_engine_borrows_the_device_of_the_generator_that_has_one(
    complete: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, given in TALK.items():
        complete.setenv(variable, given)
    complete.setenv("LISTENER_INFINITETALK_COMMAND", f"{sys.executable} {STAND_IN}")
    complete.setenv("LISTENER_CACHE_DIR", str(tmp_path))
    complete.setenv("MODEL_STORAGE_PATH", str(tmp_path / "models"))
    complete.setenv("LISTENER_KINDS", "headshot")
    complete.setenv("LISTENER_HEADSHOT_GENERATORS", "infinitetalk,local")
    Studio(tmp_path).put_models()
    built = build_generators(load_settings(), ["headshot"])
    await built["infinitetalk"].start()
    seen = [finding.words for finding in check_machine(load_settings(), ["headshot"]) if finding.name == "generator"]
    assert seen[0] == "headshot: infinitetalk, a program of its own (not run by this check)"
    files = model_files()
    assert (files.status, files.words) == ("ok", "all of infinitetalk are there")
    (tmp_path / "models" / WEIGHTS.folder / WEIGHTS.files[0]).unlink()
    files = model_files()
    assert (files.status, files.words) == ("warning", f"{tmp_path}/models/{WEIGHTS.folder}/{WEIGHTS.files[0]}")
    await built["local"].close()
    asked = GenerationRequest("headshot", uuid4(), "p", (1,), references=(picture(),), audio=sound())
    with pytest.raises(ModelUnavailable, match="the generator is closed"):
        await built["infinitetalk"].generate(asked, lambda *_: None)


def test_check_shows_each_provider_and_needs_no_gpu_where_none_draws(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_KINDS", "headshot")
    complete.setenv("LISTENER_HEADSHOT_GENERATORS", "openai")
    complete.setenv("OPENAI_API_KEY", KEY)
    complete.setenv("LISTENER_DEVICE", "cuda")
    seen = {finding.name: finding for finding in check_machine(load_settings(), ["headshot"])}
    assert (seen["openai"].status, seen["device"].status) == ("ok", "ok")
    assert seen["openai"].words == "headshot: openai: gpt-image-1.5, with its key (not asked by this check)"
    assert "generator" not in seen


@pytest.mark.parametrize(
    ("provider", "client"), [("openai", "openai"), ("replicate", "replicate.client"), ("fal", "fal_client")]
)
def test_a_client_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, provider: str, client: str
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    monkeypatch.delitem(sys.modules, f"handlers.providers.{provider}", raising=False)
    with pytest.raises(ConfigError, match=rf"listener\[{provider}\]"):
        importlib.import_module(f"handlers.providers.{provider}")
