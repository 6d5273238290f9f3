-- listener.attempt_outcome
-- What a worker RPC answers for one (session, attempt): outcome is applied | already | refused,
-- code is null | SL001 lease_lost | SL002 session_unknown | SL003 transition_refused.
create type listener.attempt_outcome as (
  session uuid,
  attempt integer,
  outcome text,
  code text,
  cancel_requested boolean
);
