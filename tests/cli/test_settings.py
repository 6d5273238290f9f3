"""Every variable is checked at start, and every problem is named at once."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from handlers.pack.handler import PackHandler
from handlers.pack.options import PackOptions, options_of
from handlers.pack.poses import SHIPPED, read_poses
from listener.access import DatabaseSettings
from listener.adapters.destinations import Policy
from listener.elsewhere import elsewhere_of
from listener.errors import ConfigError
from listener.registry import load_handlers
from listener.settings import Settings, load_settings, names_of
from tests.cli.conftest import set_all

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def problems() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    found: list[str] = caught.value.details["problems"]
    return found


@pytest.mark.usefixtures("environment")
def test_every_missing_variable_is_named() -> None:
    assert problems() == ["SUPABASE_URL is missing", "SUPABASE_SERVICE_ROLE_KEY is missing"]


def test_missing_wrong_and_unknown_are_named_together_and_no_value_is_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SUPABASE_SERVICE_ROLE_KEY", "CANARY-short")
    environment.setenv("WORKER_CONCURRENCY", "many-CANARY")
    environment.setenv("LISTENER_LEASE_SECONDS", "9")
    found = problems()
    assert [problem.split()[0].rstrip(":") for problem in found] == [
        "SUPABASE_URL",
        "SUPABASE_SERVICE_ROLE_KEY",
        "WORKER_CONCURRENCY",
        "LISTENER_LEASE_SECONDS",
    ]
    assert found[-1] == "LISTENER_LEASE_SECONDS is unknown, did you mean LISTENER_LEASE_S?"
    assert "CANARY" not in str(found)


def test_the_stack_s_own_variable_is_not_unknown(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_PG_BIN", "/usr/bin")
    assert load_settings().lease_s == 30


@pytest.mark.parametrize(
    "url", ["abcd.supabase.co", "ftp://x", "https://x/rest/v1", "https://x?apikey=1", "https://u:p@x"]
)
def test_a_url_that_cannot_be_a_project_is_refused(complete: pytest.MonkeyPatch, url: str) -> None:
    complete.setenv("SUPABASE_URL", url)
    assert problems()[0].startswith("SUPABASE_URL")


def test_the_defaults_and_an_empty_variable(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("WORKER_CONCURRENCY", "")
    settings = load_settings()
    assert (settings.worker_concurrency, settings.lease_s, settings.heartbeat_interval_s) == (5, 30, 10)
    assert (settings.http_port, settings.signed_url_s, settings.realtime) == (8000, 21600, True)


def test_lists_switches_and_levels_are_read_as_people_write_them(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_KINDS", " headshot , tryon,")
    complete.setenv("ALLOWED_ORIGINS", "https://a.app,https://b.app")
    complete.setenv("LISTENER_SOURCES", "webhook, sweep")
    complete.setenv("LOG_LEVEL", "debug")
    settings = load_settings()
    assert settings.kinds == ("headshot", "tryon")
    assert settings.allowed_origins == ("https://a.app", "https://b.app")
    assert (settings.realtime, settings.log_level) == (False, "DEBUG")


def test_a_heartbeat_slower_than_half_the_lease_is_refused(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_LEASE_S", "10")
    complete.setenv("LISTENER_HEARTBEAT_S", "6")
    assert problems() == ["LISTENER_HEARTBEAT_S must be at most half of LISTENER_LEASE_S"]


def test_a_dotenv_file_is_read_and_checked(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "SUPABASE_URL=https://abcd.supabase.co\nSUPABASE_SECRET_KEY=sb_secret_0123456789abcdef\n"
    (tmp_path / ".env").write_text(text)
    assert load_settings().supabase_url == "https://abcd.supabase.co"
    (tmp_path / ".env").write_text(f"{text}LISTENER_DEVISE=cpu\n")
    assert problems() == ["LISTENER_DEVISE is unknown, did you mean LISTENER_DEVICE?"]


def test_no_secret_is_shown_when_the_settings_are_printed(complete: pytest.MonkeyPatch) -> None:
    secrets = ("HF_TOKEN", "API_KEY", "OPENAI_API_KEY", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY")
    for name in ("R2_ACCOUNT_ID", "R2_BUCKET_NAME"):
        complete.setenv(name, "plain")
    for name in secrets:
        complete.setenv(name, "CANARYCANARYCANARY")
    complete.setenv("SUPABASE_SERVICE_ROLE_KEY", "CANARYCANARYCANARYCANARY")
    settings = load_settings()
    assert "CANARY" not in f"{settings!r} {settings} {settings.generator_config()!r}"
    assert len(settings.secrets()) == len(secrets) + 1


def test_the_generator_is_built_from_the_settings(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_HEADSHOT_MODEL", "embedded")
    complete.setenv("LISTENER_DEVICE", "cpu")
    complete.setenv("LISTENER_HEADSHOT_STEPS", "3")
    complete.setenv("MODEL_STORAGE_PATH", "/models")
    complete.setenv("HF_TOKEN", "hf_token")
    config = load_settings().generator_config()
    headshot = config.pipelines[0]
    assert (headshot.kind, headshot.model, headshot.device, headshot.steps) == ("headshot", "embedded", "cpu", 3)
    assert (config.weights_dir, config.hub_token) == ("/models", "hf_token")
    assert config.cache_dir != config.weights_dir


def test_a_try_on_draws_with_the_headshots_pipeline_until_it_has_a_model_of_its_own(
    complete: pytest.MonkeyPatch,
) -> None:
    complete.setenv("LISTENER_HEADSHOT_MODEL", "weights/klein")
    complete.setenv("LISTENER_HEADSHOT_OPTIONS", '{"attention": "auto"}')
    complete.setenv("LISTENER_TRYON_STEPS", "6")
    headshot, tryon, _ = load_settings().generator_config().pipelines
    assert (tryon.kind, tryon.model, tryon.options, tryon.steps) == ("tryon", headshot.model, headshot.options, 6)
    assert (tryon.width, tryon.height, tryon.side_max_px, headshot.side_max_px) == (1024, 1024, 1024, None)
    complete.setenv("LISTENER_TRYON_MODEL", "weights/editor")
    _, tryon, _ = load_settings().generator_config().pipelines
    assert (tryon.model, tryon.pipeline_class, tryon.options, tryon.steps) == ("weights/editor", None, {}, 6)


def test_only_the_pipelines_of_the_kinds_served_are_configured(complete: pytest.MonkeyPatch) -> None:
    def kinds(served: str) -> list[str]:
        complete.setenv("LISTENER_KINDS", served)
        return [pipeline.kind for pipeline in load_settings().generator_config().pipelines]

    assert kinds("") == ["headshot", "tryon", "pack"]
    assert kinds("tryon") == ["tryon"]
    assert kinds("headshot,postcard") == ["headshot", "tryon", "pack"], "a kind of somebody's own may draw with any"


def test_packs_are_drawn_as_their_variables_say(complete: pytest.MonkeyPatch, tmp_path: Path) -> None:
    complete.setenv("LISTENER_HEADSHOT_MODEL", "weights/klein")
    complete.setenv("LISTENER_PACK_WIDTH", "768")
    pack = load_settings().generator_config().pipelines[2]
    assert (pack.kind, pack.model, pack.width, pack.height) == ("pack", "weights/klein", 768, 1024)
    assert options_of(load_settings().handler_configs()["pack"].options) == PackOptions(), "the same defaults"
    poses = tmp_path / "poses.toml"
    poses.write_text(SHIPPED.read_text(encoding="utf-8").replace('"portrait"', '"passport"'), encoding="utf-8")
    for name, value in {"SIMILARITY": "0.7", "TRIES": "0", "BELOW": "refund", "BATCH": "2", "POSES": poses}.items():
        complete.setenv(f"LISTENER_PACK_{name}", str(value))
    handler = load_handlers(["pack"], load_settings().handler_configs())["pack"]
    assert isinstance(handler, PackHandler)
    assert handler.options == PackOptions(similarity_min=0.7, tries=0, below="refund", batch=2, poses=poses)
    poses.write_text("version = 2", encoding="utf-8")
    read_poses.cache_clear()
    with pytest.raises(ConfigError, match=r"poses\.toml"):
        load_handlers(["pack"], load_settings().handler_configs())
    complete.setenv("LISTENER_PACK_SIMILARITY", "1")
    assert problems()[0].startswith("LISTENER_PACK_SIMILARITY")


def test_further_pipelines_are_read_from_json_and_a_wrong_one_is_refused(complete: pytest.MonkeyPatch) -> None:
    complete.setenv(
        "LISTENER_PIPELINES", '{"edit-b": {"model": "weights/b", "steps": 40, "guidance": 4, "side_px": 768}}'
    )
    further = load_settings().generator_config().pipelines[-1]
    assert (further.kind, further.model, further.steps, further.guidance_scale) == ("edit-b", "weights/b", 40, 4)
    assert (further.width, further.side_max_px) == (768, 768)
    for wrong in ('{"Edit B": {"model": "b"}}', '{"b": {"model": "b", "stepps": 4}}', '{"b": {}}', "no JSON"):
        complete.setenv("LISTENER_PIPELINES", wrong)
        assert problems()[0].startswith("LISTENER_PIPELINES")


def test_the_example_names_every_variable_once_with_its_description_and_nothing_else() -> None:
    pairs = re.findall(r"^# (.+)\n#?\s?([A-Z0-9_<>]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    expected = {names_of(name)[0]: field.description for name, field in Settings.model_fields.items()}
    expected |= {str(field.validation_alias): field.description for field in DatabaseSettings.model_fields.values()}
    assert {name: comment for comment, name in pairs} == expected
    assert len(pairs) == len(expected)


def test_the_example_shows_the_real_defaults() -> None:
    shown = dict(re.findall(r"^#?\s?([A-Z0-9_<>]+)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, (int, float, str)) and not isinstance(field.default, bool):
            assert shown[names_of(name)[0]] == str(field.default), name


def test_hosts_that_may_be_private_are_named_one_by_one(complete: pytest.MonkeyPatch) -> None:
    assert load_settings().fetch_policy() == Policy(frozenset(), allow_http=False)
    complete.setenv("LISTENER_FETCH_ALLOW_HOSTS", "Minio.internal:9000, [::1]")
    complete.setenv("LISTENER_FETCH_ALLOW_HTTP", "true")
    assert load_settings().fetch_policy() == Policy(frozenset({"minio.internal:9000", "[::1]"}), allow_http=True)


USERS_NAMES = {
    "SUPABASE_URL": ("supabase_url", "https://abcd.supabase.co"),
    "SUPABASE_SERVICE_ROLE_KEY": ("supabase_service_role_key", "sb_secret_0123456789abcdef"),
    "OPENAI_API_KEY": ("openai_api_key", "sk-0123456789abcdef"),
    "OPENAI_MAX_RETRIES": ("openai_max_retries", "4"),
    "WORKER_CONCURRENCY": ("worker_concurrency", "7"),
    "API_KEY": ("api_key", "an-api-key-0123456789"),
    "ALLOWED_ORIGINS": ("allowed_origins", "https://app.example,http://localhost:3000"),
    "R2_ACCOUNT_ID": ("r2_account_id", "account"),
    "R2_ACCESS_KEY_ID": ("r2_access_key_id", "key-id"),
    "R2_SECRET_ACCESS_KEY": ("r2_secret_access_key", "secret-0123456789"),
    "R2_BUCKET_NAME": ("r2_bucket_name", "videos"),
    "MODEL_STORAGE_PATH": ("model_storage_path", "/models"),
    "VIDEO_RETENTION_HOURS": ("video_retention_hours", "12"),
    "HF_TOKEN": ("hf_token", "hf_0123456789abcdef"),
    "LOG_LEVEL": ("log_level", "WARNING"),
}


def test_every_name_the_users_chose_is_accepted_and_read(environment: pytest.MonkeyPatch) -> None:
    set_all(environment, {name: value for name, (_, value) in USERS_NAMES.items()})
    settings = load_settings()
    for name, (field, value) in USERS_NAMES.items():
        read = getattr(settings, field)
        read = read.get_secret_value() if hasattr(read, "get_secret_value") else read
        shown = ",".join(read) if isinstance(read, tuple) else str(read).removesuffix(".0")
        assert shown == value, name
    assert (settings.http_port, Settings.model_fields["openai_max_retries"].default) == (8000, 3)
    assert (
        Settings.model_fields["worker_concurrency"].default,
        Settings.model_fields["video_retention_hours"].default,
    ) == (
        5,
        6,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_MAX_RETRIES", "-1"),
        ("WORKER_CONCURRENCY", "0"),
        ("API_KEY", "short"),
        ("ALLOWED_ORIGINS", "https://app.example/path"),
        ("ALLOWED_ORIGINS", "*"),
        ("VIDEO_RETENTION_HOURS", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("LISTENER_FETCH_ALLOW_HOSTS", "https://minio.internal"),
        ("LISTENER_FETCH_ALLOW_HOSTS", "minio.internal,*"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(
    complete: pytest.MonkeyPatch, name: str, value: str
) -> None:
    complete.setenv(name, value)
    (problem,) = problems()
    assert problem.startswith(f"{name}:")


def test_half_of_a_store_s_variables_is_refused_with_the_names_of_the_rest(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("R2_ACCOUNT_ID", "account")
    complete.setenv("R2_BUCKET_NAME", "videos")
    assert problems() == ["R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY missing: the variables of R2 belong together"]


S3_HERE = {"R2_ACCESS_KEY_ID": "key", "R2_SECRET_ACCESS_KEY": "secret", "R2_BUCKET_NAME": "results"}


def test_a_store_of_results_is_r2_of_an_account_or_any_other_at_its_address(complete: pytest.MonkeyPatch) -> None:
    assert load_settings().s3_place() is None
    set_all(complete, {**S3_HERE, "R2_ACCOUNT_ID": "abc123"})
    place = load_settings().s3_place()
    assert place is not None
    assert (place.endpoint, place.region, place.buckets) == (
        "https://abc123.r2.cloudflarestorage.com",
        "auto",
        ("videos",),
    )
    complete.delenv("R2_ACCOUNT_ID")
    set_all(complete, {"LISTENER_S3_ENDPOINT": "https://s3.example/", "LISTENER_S3_BUCKETS": "videos, headshots"})
    place = load_settings().s3_place()
    assert place is not None
    assert (place.endpoint, place.buckets) == ("https://s3.example", ("videos", "headshots"))
    complete.setenv("LISTENER_SIGNED_URL_S", "604801")
    assert problems() == ["LISTENER_SIGNED_URL_S must be at most 604800 where results lie on S3"]
    complete.delenv("LISTENER_SIGNED_URL_S")
    complete.delenv("R2_BUCKET_NAME")
    assert problems() == ["R2_BUCKET_NAME missing: the variables of R2 belong together"]
    set_all(complete, {**S3_HERE, "LISTENER_S3_BUCKETS": "uploads"})
    assert problems()[0].startswith("LISTENER_S3_BUCKETS:")


def test_a_store_of_results_without_its_extra_says_what_to_install(complete: pytest.MonkeyPatch) -> None:
    set_all(complete, {**S3_HERE, "R2_ACCOUNT_ID": "abc123"})
    complete.delitem(sys.modules, "listener.adapters.s3", raising=False)
    complete.delitem(sys.modules, "listener.adapters.s3_failures", raising=False)
    complete.setitem(sys.modules, "botocore.exceptions", None)
    complete.setitem(sys.modules, "aiobotocore.config", None)
    with pytest.raises(ConfigError, match=r"pip install 'listener\[s3\]'"):
        elsewhere_of(load_settings(), 1)
