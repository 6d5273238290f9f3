"""Reads what a request to sign-in asks for, or refuses it; knows nothing of users that exist.

Source: supabase/auth, internal/api: which check comes first, and its words. Its limits are those of a hosted project.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from devstack.auth.errors import AuthError, wrong
from devstack.received import read_json

SHORTEST_PASSWORD, LONGEST_PASSWORD = 6, 72
LONGEST_EMAIL = 255
EMAIL = re.compile(r"[^@\s\x00]+@[^@\s.\x00]+(\.[^@\s.\x00]+)*")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An e-mail in lower case, and a password."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a user changes of himself; None is left alone, an empty password is taken away."""

    email: str | None
    password: str | None
    metadata: dict[str, Any] | None


async def read_body(http: web.Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises: AuthError.
    """
    try:
        body = read_json(await http.read() or "{}")
    except ValueError as error:
        raise wrong(f"Could not parse request body as JSON: {error}", "bad_json") from None
    if not isinstance(body, dict):
        raise wrong("Could not parse request body as JSON: it is no object", "bad_json")
    for name in ("email", "phone", "password", "refresh_token"):
        if not isinstance(body.get(name, ""), str | None):
            raise wrong(f"Could not parse request body as JSON: {name} is no string", "bad_json")
    for name in ("data", "app_metadata"):
        if not isinstance(body.get(name), dict | None):
            raise wrong(f"Could not parse request body as JSON: {name} is no object", "bad_json")
    return body


def new_account(body: dict[str, Any]) -> Credentials | None:
    """Whom to sign up; None is an anonymous user.

    Raises: AuthError.
    """
    email, phone, password = (body.get(name) or "" for name in ("email", "phone", "password"))
    if not email and not phone:
        return None
    if not password:
        raise wrong("Signup requires a valid password")
    _check_strength(password)
    if email and phone:
        raise wrong("Only an email address or phone number should be provided on signup.")
    if phone:
        raise wrong("Phone signups are disabled", "phone_provider_disabled")
    return Credentials(_valid_email(email), password)


def returning(body: dict[str, Any]) -> Credentials:
    """Who signs in.

    Raises: AuthError.
    """
    email, phone = body.get("email") or "", body.get("phone") or ""
    if email and phone:
        raise wrong("Only an email address or phone number should be provided on login.")
    if phone:
        raise wrong("Phone logins are disabled", "phone_provider_disabled")
    if not email:
        raise wrong("missing email or phone")
    return Credentials(email.lower(), body.get("password") or "")


def change(body: dict[str, Any]) -> Change:
    """What a user wants changed.

    Raises: AuthError.
    """
    email, password = body.get("email") or None, body.get("password")
    if email is not None:
        email = _valid_email(email)
    if body.get("phone"):
        raise AuthError(400, "phone_provider_disabled", "Phone logins are disabled")
    if password is not None:
        _check_strength(password)
    if body.get("app_metadata") is not None:
        raise AuthError(403, "not_admin", "Updating app_metadata requires admin privileges")
    return Change(email, password, body.get("data"))


def _valid_email(email: str) -> str:
    if len(email) > LONGEST_EMAIL:
        raise wrong("An email address is too long")
    if not EMAIL.fullmatch(email):
        raise wrong("Unable to validate email address: invalid format")
    return email.lower()


def _check_strength(password: str) -> None:
    if len(password.encode()) > LONGEST_PASSWORD:
        raise wrong(f"Password cannot be longer than {LONGEST_PASSWORD} characters")
    if len(password) < SHORTEST_PASSWORD:
        text = f"Password should be at least {SHORTEST_PASSWORD} characters."
        raise AuthError(422, "weak_password", text, {"weak_password": {"reasons": ["length"]}})
