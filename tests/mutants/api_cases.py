"""The defects of the HTTP API and of the webhooks to partners; each names the tests that see it."""

from __future__ import annotations

from tests.mutants.worker_cases import case

API = "http/test_sessions_api"
LISTED = "http/test_session_list"
TOLD = "acceptance/test_partner_webhooks"

CASES = (
    case(
        "api: a store reads the sessions of others",
        "adapters/desk",
        '.select("*").eq(table.owner_column, str(owner))',
        '.select("*")',
        API,
    ),
    case(
        "api: a name means the same session to everybody",
        "http/submissions",
        'f"{caller.owner}:{name}"',
        "name",
        API,
    ),
    case(
        "api: the same request again is not compared",
        "http/intake",
        "    if not one.repeats(stored):",
        "    if False:",
        API,
    ),
    case(
        "api: a request may name any column",
        "http/submissions",
        "    if unknown := sorted(set(given) - _writable(table)):",
        "    if unknown := []:",
        API,
    ),
    case(
        "api: another store may be named",
        "http/submissions",
        "    if owner is not None and str(owner).lower() != str(caller.owner):",
        "    if False:",
        API,
    ),
    case(
        "api: a key over its limit is served",
        "http/callers",
        "        if found.retry_after_s is not None:\n            message",
        "        if False:\n            message",
        API,
    ),
    case(
        "api: a body may be of any size",
        "http/body",
        "            if len(body) > limit_bytes:",
        "            if False:",
        API,
    ),
    case(
        "api: every page may call",
        "http/cors",
        "        if origin not in self._origins:",
        "        if not origin:",
        API,
    ),
    case(
        "api: many share one refusal",
        "http/intake",
        "            if len(submissions) == 1:",
        "            if True:",
        API,
    ),
    case(
        "api: a store is listed the sessions of others",
        "adapters/slices",
        ".eq(table.owner_column, str(owner))",
        "",
        LISTED,
    ),
    case(
        "api: sessions of one moment are lost between pages",
        "adapters/slices",
        ",{table.id_column}.lt.{below.id}'",
        "'",
        LISTED,
    ),
    case(
        "api: a list has one table after the other",
        "http/session_list",
        "sorted(found, key=lambda one: one[0], reverse=True)",
        "found",
        LISTED,
    ),
    case(
        "api: a list says where its files lie",
        "http/shown",
        "**unopened(result)",
        "**result",
        LISTED,
    ),
    case(
        "api: a table that is closed to a user closes his list",
        "adapters/user_desk",
        "if error.code in CLOSED:",
        "if False:",
        LISTED,
    ),
    case(
        "api: a cursor that is none begins anew",
        "http/pages",
        '    raise Unusable("is no cursor',
        '    return None\n    raise Unusable("is no cursor',
        LISTED,
    ),
    case(
        "told: each attempt has an id of its own",
        "engine/deliveries",
        "        name = str(delivery.id)",
        '        name = f"{delivery.id}.{delivery.attempt}"',
        TOLD,
    ),
    case(
        "told: signed URLs are sent",
        "engine/deliveries",
        "if not OPENS.search(name)",
        "if True",
        TOLD,
    ),
    case(
        "told: only the newest secret signs",
        "engine/deliveries",
        "for secret in delivery.secrets]",
        "for secret in delivery.secrets[:1]]",
        TOLD,
    ),
    case(
        "told: a redirect counts as an answer",
        "engine/deliveries",
        "GOOD = range(200, 300)",
        "GOOD = range(200, 400)",
        TOLD,
    ),
    case(
        "told: what is cut short is not given back",
        "engine/deliveries",
        '            await self._settle(Delivered(delivery.id, delivery.attempt, "released"))\n',
        "",
        TOLD,
    ),
    case(
        "told: an address inside is tried again and again",
        "engine/deliveries",
        '"refused" if answer.is_final else "retry"',
        '"retry"',
        TOLD,
    ),
)
