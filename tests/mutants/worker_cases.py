"""The defects of the worker: each is one exact replacement in a file of listener/, and names the tests that see it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant


def case(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    """A case, without folder names repeated."""
    return Mutant(name, f"listener/{file}.py", old, new, tuple(f"tests/{test}.py" for test in tests))


CASES = (
    case(
        "worker: no zombie rule",
        "engine/heartbeat",
        "stopped = self._slots.interrupt_all(LeaseLost)",
        "stopped = 0",
        "engine/test_heartbeat",
    ),
    case(
        "worker: the lease is counted from the answer",
        "engine/heartbeat",
        "        self._renewed_at = sent_at\n        self._listeners.on_beat",
        "        self._renewed_at = self._clock.monotonic()\n        self._listeners.on_beat",
        "engine/test_heartbeat",
    ),
    case(
        "worker: what it lost runs on",
        "engine/heartbeat",
        "self._slots.interrupt(attempt, LeaseLost())",
        "pass",
        "engine/test_heartbeat",
    ),
    case(
        "worker: a cancel is not delivered",
        "engine/heartbeat",
        "self._slots.interrupt_session(session, Cancelled())",
        "pass",
        "engine/test_heartbeat",
    ),
    case(
        "worker: a cancel waits for the next heartbeat",
        "engine/heartbeat",
        "self._cancel(await self._store.requested_cancels())",
        "await self._store.requested_cancels()",
        "engine/test_heartbeat",
    ),
    case(
        "worker: forgotten, it does not register again",
        "engine/heartbeat",
        "self._known = pulse.known",
        "self._known = True",
        "engine/test_heartbeat",
    ),
    case(
        "worker: the last heartbeats of a drained worker do not say so",
        "engine/heartbeat",
        "heartbeat([], [], self._state())",
        "heartbeat([], [])",
        "engine/test_heartbeat",
    ),
    case(
        "worker: claims without a lease",
        "engine/heartbeat",
        '        if self._left_s() <= 0:\n            return f"the lease ran out',
        '        if False:\n            return f"the lease ran out',
        "engine/test_heartbeat",
    ),
    case(
        "worker: the latch is cleared after the claim",
        "engine/claim",
        "        self._wakeup.clear()\n        try:\n            sessions = await "
        "self._store.claim(claim.id, self._kinds, claim.limit)\n",
        "        try:\n            sessions = await self._store.claim(claim.id, self._kinds, claim.limit)\n"
        "            self._wakeup.clear()\n",
        "engine/test_claim_loop",
    ),
    case(
        "worker: no claim_id: a lost answer is asked anew",
        "engine/claim",
        "claim = self._open = self._open or OpenClaim(",
        "claim = self._open = OpenClaim(",
        "engine/test_claim_loop",
    ),
    case(
        "worker: an open claim is not told",
        "engine/claim",
        "return [self._open.id] if self._open else []",
        "return []",
        "engine/test_claim_loop",
    ),
    case(
        "worker: claims more than it has room for",
        "engine/claim",
        "self._admission.most(self._slots.free))",
        "self._admission.most(self._slots.free) + 1)",
        "engine/test_claim_loop",
    ),
    case(
        "worker: claims whatever speaks against it",
        "engine/claim",
        "if self._admission.refusal() is not None:",
        "if False:",
        "engine/test_claim_loop",
    ),
    case(
        "worker: a settlement without an answer is not repeated",
        "engine/settle",
        "retry=retry_if_exception_type(StoreUnavailable)",
        "retry=retry_if_exception_type(KeyError)",
        "engine/test_settle",
    ),
    case(
        "worker: waiting in line is paid for as work",
        "engine/stages",
        "            self._stop_working()\n            self._since = self._stages.now()\n",
        "            self._since = self._stages.now()\n",
        "engine/test_spending",
    ),
    case(
        "worker: a provider's time is paid for as a device's",
        "engine/routing",
        "on_step.goes_to(elsewhere=member.limit is not None)",
        "on_step.goes_to(elsewhere=False)",
        "engine/test_spending",
    ),
    case(
        "worker: a failed attempt has cost nothing",
        "engine/settle",
        "self.store.fail(attempt, failure, cost)",
        "self.store.fail(attempt, failure)",
        "engine/test_spending",
    ),
    case(
        "worker: a settlement that is refused as malformed leaves the session open",
        "engine/settle",
        "            return await self._fail_instead(attempt, verdict, log, cost)\n",
        '            return Settled("unwritten")\n',
        "engine/test_settle",
    ),
    case(
        "worker: an attempt whose lease is gone goes on",
        "engine/context",
        '        if outcome.outcome == "refused":',
        "        if False:",
        "engine/test_attempt",
        "engine/test_progress",
    ),
    case(
        "worker: no time limit",
        "engine/attempt",
        "scope = asyncio.timeout(context.remaining_s())",
        "scope = asyncio.timeout(None)",
        "engine/test_attempt",
    ),
    case(
        "worker: work that was done when the drain came is given away",
        "engine/attempt",
        "            return  # the work is done: complete it instead of giving it away",
        "            raise",
        "engine/test_attempt",
        "engine/test_drain",
    ),
    case(
        "worker: what the sweep found wakes nobody",
        "engine/sweep",
        '            self._wake("sweep")',
        "            pass",
        "engine/test_sweep",
    ),
    case(
        "worker: joined is taken for subscribed",
        "sources/epoch",
        "said = waiting.create_task(self._subscribed.wait())",
        "said = waiting.create_task(asyncio.sleep(0))",
        "sources/test_live",
    ),
    case(
        "worker: the canary is not missed",
        "sources/epoch",
        "        if self._canary_at < sent_at:",
        "        if False:",
        "sources/test_live",
    ),
    case(
        "worker: a callback may raise",
        "sources/epoch",
        "            except Exception as error:  # noqa: BLE001 - see above",
        "            except KeyboardInterrupt as error:",
        "sources/test_live",
    ),
    case(
        "worker: a loss wakes nobody",
        "sources/live",
        '            wake("realtime_lost")\n',
        "",
        "sources/test_live",
    ),
)
