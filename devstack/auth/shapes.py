"""Users and sessions as the JSON that clients read; knows nothing of requests or the database.

Source: supabase/auth, internal/models and internal/tokens: names, and which are left out when there is no value.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import asyncpg

from devstack.auth.accounts import Account, SignedIn
from devstack.tokens import ProjectKeys

OMITTED_WHEN_NULL = (
    "email_confirmed_at",
    "phone_confirmed_at",
    "confirmed_at",
    "last_sign_in_at",
    "banned_until",
    "deleted_at",
)


def user_json(account: Account) -> dict[str, Any]:
    """A user as he may see himself."""
    user = account.user
    times = {name: _time(user[name]) for name in OMITTED_WHEN_NULL if user[name] is not None}
    return {
        "id": str(user["id"]),
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        **times,
        "app_metadata": json.loads(user["raw_app_meta_data"] or "{}"),
        "user_metadata": json.loads(user["raw_user_meta_data"] or "{}"),
        "identities": [_identity_json(identity) for identity in account.identities],
        "created_at": _time(user["created_at"]),
        "updated_at": _time(user["updated_at"]),
        "is_anonymous": user["is_anonymous"],
    }


def session_json(signed_in: SignedIn, keys: ProjectKeys, issuer: str, life_s: int) -> dict[str, Any]:
    """A session with both of its tokens.

    Units: life_s is the access token's, in seconds.
    """
    user, now = user_json(signed_in.account), int(time.time())
    claims = {
        "iss": issuer,
        "sub": user["id"],
        "aud": user["aud"],
        "exp": now + life_s,
        "iat": now,
        "email": user["email"],
        "phone": user["phone"],
        "app_metadata": user["app_metadata"],
        "user_metadata": user["user_metadata"],
        "role": user["role"],
        "aal": "aal1",
        "amr": signed_in.session.methods,
        "session_id": str(signed_in.session.id),
        "is_anonymous": user["is_anonymous"],
    }
    return {
        "access_token": keys.mint_for_user(claims, life_s),
        "token_type": "bearer",
        "expires_in": life_s,
        "expires_at": now + life_s,
        "refresh_token": signed_in.session.refresh_token,
        "user": user,
    }


def _identity_json(identity: asyncpg.Record) -> dict[str, Any]:
    return {
        "identity_id": str(identity["id"]),
        "id": identity["provider_id"],
        "user_id": str(identity["user_id"]),
        "identity_data": json.loads(identity["identity_data"]),
        "provider": identity["provider"],
        "last_sign_in_at": _time(identity["last_sign_in_at"]),
        "created_at": _time(identity["created_at"]),
        "updated_at": _time(identity["updated_at"]),
        "email": identity["email"],
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")
