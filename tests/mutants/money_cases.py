"""Defects of what moves credits, function by function and constraint by constraint, and the tests that see them."""

from __future__ import annotations

from tests.mutants.cases import case
from tests.mutants.mutant import Mutant

SETTLING = (
    case(
        "money: a user's cancel does not refund",
        "functions/cancel_owned",
        "  perform listener.refund(array[v_session]);\n",
        "",
        "cancel_session",
    ),
    case(
        "money: the last retry does not refund",
        "functions/requeue",
        "  perform listener.refund(p_sessions);\n",
        "",
        "retry_sessions",
    ),
    case(
        "money: what the database fails is not refunded",
        "functions/fail_here",
        "  perform listener.refund(p_sessions);\n",
        "",
        "sweep_sessions",
    ),
    case(
        "money: leaving a table does not refund",
        "functions/cancel_here",
        "v_refunded := listener.refund(p_sessions);",
        "v_refunded := 0;",
        "unwatch",
    ),
    case(
        "money: what a pack did not deliver is kept",
        "functions/complete_applied",
        "if jsonb_path_exists(p_items, '$[*].refund ? (@ > 0)') then",
        "if false then",
        "refund",
    ),
    case(
        "money: a session whose row is gone is neither ended nor refunded",
        "functions/hold_rows",
        "    perform listener.fail_here(v_gone, 'row_missing', 'The row of this session no longer exists.');\n",
        "",
        "claim_sessions",
    ),
    case(
        "money: what completed is refunded when somebody asks",
        "functions/refund_session",
        "elsif v_status not in ('failed', 'cancelled') then",
        "elsif false then",
        "money",
    ),
    case(
        "money: a settlement of several locks rows as they come",
        "functions/complete_held",
        "::listener.visible_state order by held.row_id",
        "::listener.visible_state",
        "lock_order",
    ),
)

CHARGING = (
    case(
        "money: a pack costs what one image costs",
        "functions/enter_sessions",
        "p_table.credits * arriving.units,",
        "p_table.credits,",
        "packs",
    ),
    case(
        "money: what the app took is taken again",
        "functions/charge",
        "and session.cost > 0 and not session.paid_by_app",
        "and session.cost > 0",
        "app_refunds",
    ),
    case(
        "money: a row that no worker can read is taken and paid",
        "functions/refuse_unreadable",
        "  if exists (\n",
        "  if false and exists (\n",
        "register_sessions",
    ),
    case(
        "money: one more newcomer than the plan welcomes",
        "functions/welcomes_left",
        "return v_limit - (",
        "return v_limit + 1 - (",
        "welcome_accounts",
    ),
    case(
        "money: the balance hides the welcome that is to come",
        "functions/balance_of",
        "if not coalesce(v_is_welcomed, false) and",
        "if false and",
        "money",
    ),
    case(
        "money: an entry shows the balance before it",
        "functions/account_ledger",
        "and 1 preceding",
        "and current row",
        "account_ledger",
    ),
)

APPS = (
    case(
        "money: an app that raises undoes the settlement",
        "functions/pay_app_refunds",
        "      v_error := left(sqlstate || ' ' || sqlerrm, 500);\n",
        "      raise;\n",
        "app_refunds",
    ),
    case(
        "money: an app pays the same refund at every sweep",
        "functions/pay_app_refunds",
        "paid_at = case when v_error is null then v_now end,",
        "paid_at = null,",
        "app_refunds",
    ),
    case(
        "money: an app that owes is not asked again",
        "functions/pay_owed_refunds",
        "refund.call_at <= (select listener.clock())",
        "false",
        "app_refunds",
    ),
    case(
        "money: an app is told to give back what it did not take",
        "functions/refund_by_app",
        "session.id = any(p_sessions) and session.paid_by_app and part.amount > 0",
        "session.id = any(p_sessions) and part.amount > 0",
        "app_refunds",
    ),
)


def loose(constraint: str, table: str, condition: str) -> Mutant:
    """The constraint lets everything pass."""
    return case(
        f"money: {constraint} lets everything pass",
        f"tables/{table}",
        f"{constraint} check ({condition})",
        f"{constraint} check (true)",
        "money_constraints",
    )


CONSTRAINTS = (
    loose("accounts_balance_is_not_negative", "accounts", "balance >= 0"),
    loose("ledger_session_unless_grant", "ledger", "(entry = 'grant') = (session is null)"),
    loose(
        "ledger_charge_takes_and_others_give",
        "ledger",
        "\n    (entry = 'charge' and amount < 0) or (entry in ('refund', 'grant') and amount > 0)\n  ",
    ),
    loose(
        "ledger_key_names_the_session",
        "ledger",
        "\n    entry = 'grant' or key = entry || ':' || session::text\n  ",
    ),
    loose("sessions_cost_is_not_negative", "sessions", "cost >= 0"),
    loose(
        "sessions_refund_is_part_of_the_cost",
        "sessions",
        "\n    refund_due is null or (refund_due between 0 and cost and status in ('completed', 'cancelled'))\n  ",
    ),
    loose("app_refunds_amount_is_positive", "app_refunds", "amount > 0"),
)

CASES = SETTLING + CHARGING + APPS + CONSTRAINTS
