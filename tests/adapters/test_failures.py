"""Which failures may pass by themselves, and which will not."""

from __future__ import annotations

import json
import traceback

import httpx
import pytest
from postgrest.exceptions import APIError
from pydantic import TypeAdapter
from storage3.exceptions import StorageApiError

from listener.adapters.failures import last_status, postgrest_failure, translated
from listener.errors import KeyRefused, StoreRejected, StoreUnavailable

PASSING = ["08006", "40001", "40P01", "53300", "55P03", "57014", "57P01", "58030", "PGRST000", "PGRST001", "PGRST003"]
LASTING = ["22P02", "22P05", "23505", "42501", "42883", "P0001", "PGRST202", "SL001", "PT402"]


@pytest.mark.parametrize("code", PASSING)
def test_trouble_of_the_database_passes(code: str) -> None:
    with pytest.raises(StoreUnavailable, match=code), translated("claim_sessions"):
        raise APIError({"code": code, "message": "m"})


@pytest.mark.parametrize("code", LASTING)
def test_a_mistake_of_ours_does_not(code: str) -> None:
    with pytest.raises(StoreRejected, match=code), translated("claim_sessions"):
        raise APIError({"code": code, "message": "m"})


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, StoreUnavailable),
        (503, StoreUnavailable),
        (429, StoreUnavailable),
        (401, KeyRefused),
        (404, StoreRejected),
    ],
)
def test_an_answer_of_a_gateway_is_judged_by_its_status(status: int, error: type[Exception]) -> None:
    """Gateways answer {"message"} without a code, and the library drops the status."""
    with pytest.raises(error, match=str(status)), translated("claim_sessions"):
        _answered(status)


def _answered(status: int) -> None:
    last_status.set(status)
    raise APIError({"message": "no Route matched"})


@pytest.mark.parametrize("code", ["502", "504"])
def test_a_page_of_a_proxy_is_judged_by_the_status_in_its_code(code: str) -> None:
    with pytest.raises(StoreUnavailable), translated("claim_sessions"):
        raise APIError({"code": code, "message": "Bad Gateway", "details": "<html>"})


@pytest.mark.parametrize(
    ("status", "error"), [("503", StoreUnavailable), (544, StoreUnavailable), ("409", StoreRejected)]
)
def test_the_storage_tells_its_status_as_text_or_number(status: str | int, error: type[Exception]) -> None:
    with pytest.raises(error), translated("upload"):
        raise StorageApiError("m", "code", status)


@pytest.mark.parametrize("code", ["PGRST301", "PGRST302", "PGRST303"])
def test_a_key_that_the_database_refuses_is_waited_for_until_somebody_mends_it(code: str) -> None:
    with pytest.raises(KeyRefused, match=code), translated("claim_sessions"):
        raise APIError({"code": code, "message": "JWT expired"})


@pytest.mark.parametrize("status", [401, "403"])
def test_a_key_that_the_storage_refuses_is_waited_for_too(status: str | int) -> None:
    with pytest.raises(KeyRefused), translated("upload"):
        raise StorageApiError("jwt expired", "Unauthorized", status)


@pytest.mark.parametrize("fault", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")])
def test_the_network_passes(fault: Exception) -> None:
    with pytest.raises(StoreUnavailable), translated("claim_sessions"):
        raise fault


def test_a_programming_error_is_not_tried_again() -> None:
    with pytest.raises(StoreRejected), translated("claim_sessions"):
        raise TypeError("not JSON serializable")


def test_the_value_that_postgresql_quotes_is_not_repeated() -> None:
    error = postgrest_failure("claim_sessions", "22P02", 'invalid input syntax for type integer: "two "cats" in rain"')
    assert str(error) == 'claim_sessions: 22P02 invalid input syntax for type integer: "…"'


def test_an_answer_too_deep_to_read_is_an_outage_and_no_crash() -> None:
    with pytest.raises(StoreUnavailable, match="unreadable answer"), translated("claim_sessions"):
        json.loads("[" * 100_000)


def test_the_row_that_postgresql_quotes_stands_in_no_traceback() -> None:
    said = {"code": "23514", "message": "row violates check", "details": "Failing row contains (two cats).", "hint": ""}
    with pytest.raises(StoreRejected) as failed, translated("complete_sessions"):
        raise APIError(said)
    told = "".join(traceback.format_exception(failed.value))
    assert "row violates check" in told
    assert "two cats" not in told


def test_an_answer_of_another_shape_is_quoted_in_no_traceback() -> None:
    with pytest.raises(StoreUnavailable) as failed, translated("claim_sessions"):
        TypeAdapter(int).validate_python("two cats")
    assert "two cats" not in "".join(traceback.format_exception(failed.value))
