-- listener.update_rights(relation) -> (role, attname)
-- Which columns of a table each role was granted to update, by the table or by column; public is a role here.
create function listener.update_rights(p_relation regclass)
returns table (role text, attname name)
language sql stable security invoker
set search_path = ''
as $$
  select distinct
    case entry.grantee when 0 then 'public' else pg_get_userbyid(entry.grantee)::text end,
    field.attname
  from pg_catalog.pg_class as class
  inner join pg_catalog.pg_attribute as field
    on field.attrelid = class.oid and field.attnum > 0 and not field.attisdropped
  cross join lateral (
    select granted.grantee, granted.privilege_type from aclexplode(class.relacl) as granted
    union all
    select granted.grantee, granted.privilege_type from aclexplode(field.attacl) as granted
  ) as entry
  where class.oid = p_relation and entry.privilege_type = 'UPDATE'
$$;

revoke all on function listener.update_rights(regclass) from public, anon, authenticated, service_role;
