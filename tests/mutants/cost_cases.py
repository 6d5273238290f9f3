"""The defects of what sessions cost, how long clips are kept, and what a session weighs in the fair order."""

from __future__ import annotations

from tests.mutants.cases import case
from tests.mutants.mutant import Mutant

AVATARS = (
    case(
        "a user reads the clips of a store that bears his id",
        "policies/storage_objects",
        "  and (bucket_id <> 'videos' or split_part(name, '/', 2) <> 'generated')\n",
        "",
        "avatar_sessions",
    ),
    case(
        "a deleted user's clips stay",
        "functions/forget_owner",
        "    delete from public.avatar_sessions as visible where visible.user_id = p_owner;\n",
        "",
        "avatar_sessions",
    ),
)

RETENTION = (
    case(
        "clips are kept as if nobody had said how long",
        "views/due_artifacts",
        "coalesce(policy.keep_days, kept.keep_hours) is not null",
        "policy.keep_days is not null",
        "retention",
    ),
    case(
        "the hours count from the upload",
        "views/due_artifacts",
        "    session.finished_at\n    + least(",
        "    artifact.created_at\n    + least(",
        "retention",
    ),
    case(
        "hours are counted as days",
        "views/due_artifacts",
        "make_interval(secs => 3600 * kept.keep_hours)",
        "make_interval(secs => 86400 * kept.keep_hours)",
        "retention",
    ),
)

COSTS = (
    case(
        "a completion's cost replaces what earlier attempts came to",
        "functions/write_completed",
        "coalesce(session.device_s, 0) + greatest(given.device_s, 0)",
        "greatest(given.device_s, 0)",
        "costs",
    ),
    case(
        "a cost is added again by who only repeats himself",
        "functions/add_costs",
        "where session.id = any(p_sessions) and session.id = item.session and session.attempt = item.attempt",
        "where session.id = item.session and session.attempt = item.attempt",
        "costs",
    ),
    case(
        "what a failure had cost is forgotten",
        "functions/fail_sessions",
        "  perform listener.add_costs(v_applied, p_items);\n",
        "",
        "costs",
    ),
    case(
        "what pruned sessions had cost is forgotten",
        "functions/costs_since",
        "where pruned.day >= p_day",
        "where false",
        "costs",
    ),
    case(
        "a day's second pruning replaces the first",
        "functions/prune_sessions",
        "sessions = known.sessions + excluded.sessions",
        "sessions = excluded.sessions",
        "costs",
    ),
)

WEIGHTS = (
    case(
        "a pack counts as one image",
        "functions/enter_sessions",
        "array(select greatest(unit, 1) from unnest(v_units) as unit)",
        "array(select 1 from unnest(v_units) as unit)",
        "fair_work",
    ),
    case(
        "a pack comes after itself",
        "functions/take_turns",
        "order by given.ordinal) - given.units as before",
        "order by given.ordinal) as before",
        "fair_work",
    ),
)

CASES: tuple[Mutant, ...] = AVATARS + RETENTION + COSTS + WEIGHTS
