"""The defects of what stores meet: rows, keys, deliveries, variants. Each names the test files that must see it."""

from __future__ import annotations

from tests.mutants.cases import case
from tests.mutants.mutant import Mutant

ISOLATION = (
    case(
        "everybody reads the rows of stores",
        "policies/store_generation_sessions",
        "  store_id in (",
        "  store_id is not null or store_id in (",
        "generation_sessions",
    ),
    case(
        "everybody reads the files of stores",
        "policies/storage_objects",
        "'generated'))\n  and split_part",
        "'generated'))\n  or split_part",
        "generation_sessions",
    ),
    case(
        "everybody sees who works for whom",
        "policies/store_members",
        "for select to authenticated using ((select auth.uid()) = user_id)",
        "for select to authenticated using (true)",
        "generation_sessions",
    ),
    case(
        "the same task of a store is charged twice",
        "tables/store_generation_sessions",
        "  constraint store_generation_sessions_once_per_task unique (store_id, task_id),\n",
        "",
        "generation_sessions",
    ),
    case(
        "the files of stores lie among those of users",
        "functions/claim_sessions",
        "coalesce(registry.bucket, policy.bucket)",
        "policy.bucket",
        "generation_sessions",
    ),
)

KEYS = (
    case(
        "a revoked key still opens",
        "functions/authenticate_api_key",
        "  elsif v_key.is_revoked then\n",
        "  elsif false then\n",
        "api_keys",
    ),
    case(
        "a key is counted before it is locked",
        "functions/authenticate_api_key",
        "  where given.hash = p_hash\n  for no key update;\n",
        "  where given.hash = p_hash;\n",
        "api_keys",
    ),
    case(
        "pieces are forgotten while a part of them counts",
        "functions/authenticate_api_key",
        "piece.starts_at <= v_now - interval '65 s'",
        "piece.starts_at <= v_now - interval '60 s'",
        "api_keys",
    ),
    case(
        "who is refused is refused for longer",
        "functions/count_api_request",
        "  if p_is_accepted then\n",
        "  if true then\n",
        "api_keys",
    ),
)

DELIVERIES = (
    case(
        "an end is not told",
        "triggers/sessions",
        "new.tells_partner and old.finished_at is null and new.finished_at is not null",
        "new.tells_partner and old.finished_at is null and new.status = 'completed'",
        "deliveries",
    ),
    case(
        "an end is not told while a webhook is switched on",
        "functions/record_delivery",
        "  perform pg_advisory_xact_lock_shared(hashtext('listener.partner_webhooks'), hashtext(new.owner::text));\n",
        "",
        "deliveries",
    ),
    case(
        "a webhook that is off is told",
        "functions/record_delivery",
        "hook.store = new.owner and hook.active",
        "hook.store = new.owner",
        "deliveries",
    ),
    case(
        "a late worker settles the next one's delivery",
        "functions/end_deliveries",
        "item.attempt = one.attempt and ",
        "",
        "deliveries",
    ),
    case(
        "what a lost worker held is never sent",
        "functions/retire_deliveries",
        "where late.status = 'sending' and late.next_at <= p_now",
        "where false",
        "deliveries",
    ),
    case(
        "a partner who never answers is asked for ever",
        "functions/end_deliveries",
        "(item.outcome = 'retry' and one.failures >= 9)",
        "false",
        "deliveries",
    ),
    case(
        "an old address switches the new one off",
        "functions/settle_deliveries",
        " and hook.changed_at <= one.claimed_at",
        "",
        "deliveries",
    ),
    case(
        "one partner holds all the others up",
        "functions/claim_deliveries",
        "limit greatest(8 - under_way.n, 0)",
        "limit 100",
        "deliveries",
    ),
    case(
        "a session is pruned before its partner was told",
        "functions/prune_sessions",
        "          and not exists (select from listener.deliveries as told where told.session = done.id "
        "and told.ended_at is null)\n",
        "",
        "deliveries",
    ),
)

VARIANTS = (
    case(
        "a row chooses its own overrides",
        "functions/enter_sessions",
        " || array['variant'];",
        ";",
        "variants",
    ),
    case(
        "shares do not count",
        "functions/active_variants",
        "    (sum(variant.share) over up_to_here - variant.share) / sum(variant.share) over (),\n",
        "    (row_number() over by_name - 1.0) / count(*) over (),\n",
        "variants",
    ),
    case(
        "a variant that is off is drawn",
        "functions/active_variants",
        "where variant.kind = p_kind and variant.active",
        "where variant.kind = p_kind",
        "variants",
    ),
)

BROADCASTS = (
    case(
        "states go out on a topic that nobody may join",
        "functions/tell_states",
        "'owner:' || (shown",
        "(shown",
        "watch_broadcasts",
    ),
    case(
        "everybody hears the states",
        "functions/tell_states",
        "v_table.owner_column), true",
        "v_table.owner_column), false",
        "watch_broadcasts",
    ),
    case(
        "a user may join the topics of all",
        "functions/open_topics",
        "topic = 'owner:' || (select auth.uid())",
        "topic like 'owner:%'",
        "watch_broadcasts",
    ),
    case(
        "what is no new state is broadcast",
        "functions/tell_states",
        "is distinct from former.fields -> (v_table.columns ->> 'version')",
        "is not null",
        "watch_broadcasts",
    ),
    case(
        "prompts are broadcast",
        "functions/tell_states",
        "    where pair.key is not null or field.key = v_table.id_column\n",
        "",
        "watch_broadcasts",
    ),
    case(
        "a broadcast that fails costs the row",
        "functions/tell_states",
        "exception when others then",
        "exception when division_by_zero then",
        "watch_broadcasts",
    ),
    case(
        "who left broadcasts on",
        "functions/strip_table",
        ",\n    'listener_broadcast_update'",
        "",
        "watch_broadcasts",
    ),
)

CASES: tuple[Mutant, ...] = ISOLATION + KEYS + DELIVERIES + VARIANTS + BROADCASTS
