"""The tokens of the Realtime scenarios: which one each `<jwt>` stood for, by the note before it or the connection."""

from __future__ import annotations

import re
import time
from typing import Any

import jwt

from devstack.tokens import ALGORITHM, ProjectKeys
from tests.conformance.tokens import OTHER_SECRET, VALID_S

SHORT_S = 4
SINCE = re.compile(r'"since": \d+')
USERS = {"userA": "aaaaaaaa-0000-4000-8000-000000000001", "userB": "bbbbbbbb-0000-4000-8000-000000000002"}
NAMES = ("<jwt>", "<redacted>")
SHORT_CONNECTIONS = {"apikey-expiry", "python-client: channel token expires (8 s), nobody refreshes"}


class Tokens:
    """What stands for the tokens of one scenario. `hint` is the last note, good for one token."""

    def __init__(self, keys: ProjectKeys, label: str, apikeys: dict[str, str]) -> None:
        self._keys = keys
        self._label = label
        self._connections = apikeys
        self._count = 0
        self.hint = ""

    def of_connection(self, conn: str) -> str:
        """The apikey of a new connection."""
        hint, self.hint = self.hint, ""
        role = "service_role" if conn == "service" else "authenticated" if conn in {*USERS, "poison"} else "anon"
        claims = {"role": role, **({"sub": USERS[conn]} if conn in USERS else {})}
        valid_s = SHORT_S if self._label in SHORT_CONNECTIONS else VALID_S
        self._connections[conn] = self._hinted(hint) or self._minted(claims, valid_s)
        return self._connections[conn]

    def of_request(self, asked: str) -> str:
        """The token of an HTTP request, which is absent where the answer was 401."""
        return "" if "-> 401" in asked else self._keys.service_role_key

    def filled(self, conn: str, frame: str) -> str:
        """A client's frame with its token."""
        frame = SINCE.sub('"since": 0', frame)
        name = next((name for name in NAMES if f'"{name}"' in frame), None)
        if name is None:
            return frame
        hint, self.hint = self.hint, ""
        token = self._hinted(hint) or self._fitting(conn, frame, hint)
        return frame.replace(name, token)

    def _fitting(self, conn: str, frame: str, hint: str) -> str:
        if self._label == "token-expiry" and '"realtime:exp"' in frame:
            return self._minted({"role": "anon"}, SHORT_S)
        is_new = "phx_join" not in frame and hint != "same token"
        if is_new or "fresh" in hint:
            return self._minted({"role": "anon"}, VALID_S)
        return self._connections[conn]

    def _hinted(self, hint: str) -> str | None:
        """The token that a note tells of."""
        now = int(time.time())
        if hint in {"wrong secret", "wrong signature"}:
            return jwt.encode({"role": "anon", "exp": now + VALID_S}, OTHER_SECRET, algorithm=ALGORITHM)
        claims: dict[str, dict[str, Any]] = {
            "expired": {"role": "anon", "exp": now - 5},
            "expired access_token": {"role": "anon", "exp": now - 5},
            "no role": {"exp": now + VALID_S},
            "no exp": {"role": "anon"},
            "role changes to authenticated": {"role": "authenticated", "exp": now + VALID_S},
        }
        if hint not in claims:
            return None
        return jwt.encode(claims[hint], self._keys.jwt_secret, algorithm=ALGORITHM)

    def _minted(self, claims: dict[str, Any], valid_s: int) -> str:
        self._count += 1
        return self._keys.mint({**claims, "jti": str(self._count)}, valid_s)
