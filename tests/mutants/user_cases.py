"""The defects of the HTTP API of signed-in users; each names the tests that see it."""

from __future__ import annotations

from tests.mutants.worker_cases import case

API = "http/test_packs_api"
TOKENS = "adapters/test_user_tokens"

CASES = (
    case(
        "users: a request is made with the secret key, not in the user's name",
        "adapters/user_desk",
        '"Authorization": f"Bearer {user.token}"',
        '"Authorization": f"Bearer {self._key}"',
        API,
    ),
    case(
        "users: a token for another audience is taken",
        "adapters/user_tokens",
        'options={"require": ["exp", "aud", "sub"]}',
        'options={"require": ["exp", "sub"], "verify_aud": False}',
        TOKENS,
    ),
    case(
        "users: a token of any role is a user's",
        "adapters/user_tokens",
        'if claims.get("role") != ROLE:',
        "if False:",
        TOKENS,
    ),
    case(
        "users: a published secret verifies tokens",
        "adapters/user_tokens",
        'PUBLISHED = frozenset({"ES256", "RS256", "EdDSA"})',
        'PUBLISHED = frozenset({"ES256", "RS256", "EdDSA", "HS256"})',
        TOKENS,
    ),
    case(
        "users: strangers' key ids make us ask on and on",
        "adapters/user_tokens",
        "and not self._since(self._asked_at, ASKED_EVERY_S)",
        "",
        TOKENS,
    ),
    case(
        "users: known keys serve for ever",
        "adapters/user_tokens",
        "if self._since(self._read_at, KEPT_FOR_S):",
        "if self._keys:",
        TOKENS,
    ),
    case(
        "users: the handler's rules do not hold for a character",
        "http/characters",
        "    if params is not None:\n        _check(params, form)",
        "",
        API,
    ),
    case(
        "users: another's upload may be a face",
        "http/characters",
        "return require_own_object(given, user.id)",
        "return given",
        API,
    ),
)
