-- listener.active_variants(kind) -> (name, overrides, low, high)
-- The active variants of a kind, each with the part of [0, 1) that draws it.
create function listener.active_variants(p_kind text)
returns table (name text, overrides jsonb, low numeric, high numeric)
language sql stable security invoker
set search_path = ''
as $$
  select
    variant.name, variant.overrides,
    (sum(variant.share) over up_to_here - variant.share) / sum(variant.share) over (),
    case
      when lead(variant.name) over by_name is null then 1
      else sum(variant.share) over up_to_here / sum(variant.share) over ()
    end
  from listener.variants as variant
  where variant.kind = p_kind and variant.active
  window by_name as (order by variant.name), up_to_here as (order by variant.name rows unbounded preceding)
$$;

revoke all on function listener.active_variants(text) from public, anon, authenticated, service_role;
