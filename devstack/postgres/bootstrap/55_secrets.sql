-- What hosted projects have for secrets in SQL: pgcrypto's functions, and Vault. A PostgreSQL without pgcrypto gets
-- those of its functions that core can do, under the same names; another algorithm is refused in pgcrypto's words.
-- Source: pgcrypto's documentation; supabase/vault's. Vault's encryption at rest is left out: the cluster is thrown away.
do $$
begin
  if exists (select from pg_catalog.pg_available_extensions where name = 'pgcrypto') then
    create extension if not exists pgcrypto with schema extensions;
    return;
  end if;
  create or replace function extensions.digest(data bytea, type text)
  returns bytea
  language plpgsql immutable strict parallel safe
  set search_path = ''
  as $body$
  begin
    return case lower(type)
      when 'sha224' then sha224(data) when 'sha256' then sha256(data)
      when 'sha384' then sha384(data) when 'sha512' then sha512(data)
      when 'md5' then decode(md5(data), 'hex')
    end;
  end
  $body$;
  create or replace function extensions.hmac(data bytea, key bytea, type text)
  returns bytea
  language plpgsql immutable strict parallel safe
  set search_path = ''
  as $body$
  declare
    v_block integer := case when lower(type) in ('sha384', 'sha512') then 128 else 64 end;
    v_key bytea := case when length(key) > v_block then extensions.digest(key, type) else key end;
    v_inner bytea := decode(repeat('36', v_block), 'hex');
    v_outer bytea := decode(repeat('5c', v_block), 'hex');
  begin
    if extensions.digest(''::bytea, type) is null then
      raise exception using errcode = '22023', message = format('Cannot use "%s": No such hash algorithm', type);
    end if;
    for v_at in 0 .. length(v_key) - 1 loop
      v_inner := set_byte(v_inner, v_at, get_byte(v_key, v_at) # 54);
      v_outer := set_byte(v_outer, v_at, get_byte(v_key, v_at) # 92);
    end loop;
    return extensions.digest(v_outer || extensions.digest(v_inner || data, type), type);
  end
  $body$;
  create or replace function extensions.digest(data text, type text)
  returns bytea
  language sql immutable strict parallel safe
  as $body$ select extensions.digest(convert_to(data, 'UTF8'), type) $body$;
  create or replace function extensions.hmac(data text, key text, type text)
  returns bytea
  language sql immutable strict parallel safe
  as $body$ select extensions.hmac(convert_to(data, 'UTF8'), convert_to(key, 'UTF8'), type) $body$;
  create or replace function extensions.gen_random_bytes(count integer)
  returns bytea
  language sql volatile strict parallel safe
  as $body$
    select substr(decode(string_agg(replace(gen_random_uuid()::text, '-', ''), ''), 'hex'), 1, count)
    from generate_series(1, count / 16 + 1)
  $body$;
end
$$;

create schema if not exists vault;
create table if not exists vault.secrets (
  id uuid not null default gen_random_uuid() primary key,
  name text,
  description text not null default '',
  secret text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index if not exists secrets_name_idx on vault.secrets (name) where name is not null;

create or replace view vault.decrypted_secrets as
select kept.id, kept.name, kept.description, kept.secret, kept.secret as decrypted_secret, kept.created_at, kept.updated_at
from vault.secrets as kept;

create or replace function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
)
returns uuid
language sql
security definer
set search_path = ''
as $$
  insert into vault.secrets (secret, name, description) values (new_secret, new_name, new_description) returning id
$$;

create or replace function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null, new_description text default null,
  new_key_id uuid default null
)
returns void
language sql
security definer
set search_path = ''
as $$
  update vault.secrets
  set secret = coalesce(new_secret, secret), name = coalesce(new_name, name),
    description = coalesce(new_description, description), updated_at = now()
  where id = secret_id
$$;

revoke all on function vault.create_secret(text, text, text, uuid) from public;
revoke all on function vault.update_secret(uuid, text, text, text, uuid) from public;
grant usage on schema vault to postgres, service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres, service_role;
grant execute on function vault.create_secret(text, text, text, uuid) to postgres, service_role;
grant execute on function vault.update_secret(uuid, text, text, text, uuid) to postgres, service_role;
