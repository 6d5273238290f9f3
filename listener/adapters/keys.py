"""What sort of key a Supabase key is, as far as it tells itself; never its value."""

from __future__ import annotations

import base64
import json

SECRET = "a secret key"  # noqa: S105 - the word for one
SERVICE_JWT = "a service_role JWT"
MAY_SERVE = frozenset({SECRET, SERVICE_JWT})
_PREFIXES = {"sb_secret_": SECRET, "sb_publishable_": "a publishable key"}
_PARTS_OF_A_JWT = 3


def kind_of_key(key: str) -> str:
    """Name it in words; a JWT is read, not verified."""
    for prefix, words in _PREFIXES.items():
        if key.startswith(prefix):
            return words
    parts = key.split(".")
    if len(parts) != _PARTS_OF_A_JWT:
        return "not a key of Supabase"
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        role = claims.get("role")
    except (ValueError, AttributeError):
        return "a JWT that cannot be read"
    if not isinstance(role, str) or not role.isidentifier():
        return "a JWT without a role"
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role} JWT"
