-- listener.kind_misfits(table, max_attempts, time_limit_s, bucket) -> setof misfit
-- Why a table cannot be of this kind, or its kind not have this policy. Null leaves what the kind has.
create function listener.kind_misfits(
  p_table listener.session_tables, p_max_attempts integer, p_time_limit_s integer, p_bucket text
)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from (
    select array_agg(registry.relation::text order by registry.id) as tables
    from listener.session_tables as registry
    where registry.kind = p_table.kind and registry.relation <> p_table.relation
  ) as others
  left join listener.kinds as known on known.kind = p_table.kind
  cross join lateral (
    values
      (coalesce(p_table.kind !~ '^[a-z][a-z0-9_]{0,62}$', true), 'kind_is_not_a_word',
        format('%L is no name of a kind.', p_table.kind), 'Lower case letters, digits and underscores: kind => ''tryon''.'),
      (coalesce(p_table.credits not between 0 and 1000000, true), 'credits_out_of_range',
        'credits must be 0 to 1,000,000.', 'credits => 0 switches money off.'),
      (p_max_attempts not between 1 and 100, 'max_attempts_out_of_range', 'max_attempts must be 1 to 100.', 'The default is 3.'),
      (p_time_limit_s not between 1 and 86400, 'time_limit_out_of_range', 'time_limit_s must be 1 to 86400 seconds.',
        'The default is 300.'),
      (others.tables is not null and (
          known.max_attempts <> p_max_attempts or known.time_limit_s <> p_time_limit_s or known.bucket <> p_bucket
        ), 'kind_has_another_policy',
        format('%s serves %s with max_attempts %s, time_limit_s %s, bucket %s.', known.kind,
          array_to_string(others.tables, ', '), known.max_attempts, known.time_limit_s, known.bucket),
        'Leave these arguments out, use a kind of its own, or change listener.kinds for all of them.'),
      (not exists (
          select from storage.buckets as bucket
          where bucket.id = coalesce(p_bucket, known.bucket, 'generated')
        ), 'bucket_missing', format('There is no bucket %s.', coalesce(p_bucket, known.bucket, 'generated')),
        'Make a private bucket first, or leave bucket out.')
  ) as misfit (applies, name, detail, hint)
  where misfit.applies
$$;

revoke all on function listener.kind_misfits(listener.session_tables, integer, integer, text)
from public, anon, authenticated, service_role;
