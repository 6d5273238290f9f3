-- pg_net's tables and functions, and the dashboard's trigger for database webhooks. The stack's sender takes from the
-- queue. Both tables are unlogged as in pg_net: a crash of PostgreSQL empties them.
-- Source: names, signatures, defaults, grants and messages as pg_net 0.20 and supabase_functions have them.
create schema if not exists net;

do $$
begin
  if to_regtype('net.http_method') is null then
    create domain net.http_method as text check (lower(value) in ('get', 'post', 'delete'));
    create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
    create type net.http_response as (status_code integer, headers jsonb, body text);
    create type net.http_response_result as (status net.request_status, message text, response net.http_response);
  end if;
end
$$;

create unlogged table if not exists net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);
create unlogged table if not exists net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);
create index if not exists _http_response_created_idx on net._http_response (created);

-- Percent encoding of everything but RFC 3986's unreserved characters.
create or replace function net._urlencode_string(string varchar)
returns text
language sql immutable strict
as $$
  select coalesce(string_agg(
    case
      when get_byte(bytes, at) between 48 and 57 or get_byte(bytes, at) between 65 and 90
        or get_byte(bytes, at) between 97 and 122 or get_byte(bytes, at) in (45, 46, 95, 126)
        then chr(get_byte(bytes, at))
      else '%' || upper(lpad(to_hex(get_byte(bytes, at)), 2, '0'))
    end, '' order by at
  ), '')
  from convert_to(string, 'UTF8') as bytes, generate_series(0, length(convert_to(string, 'UTF8')) - 1) as at
$$;

create or replace function net._encode_url_with_params_array(url text, params_array text[])
returns text
language sql immutable strict
as $$
  select case
    when cardinality(params_array) = 0 then url
    else url || case when strpos(url, '?') > 0 then '&' else '?' end || array_to_string(params_array, '&')
  end
$$;

-- Puts a request where the sender finds it once the transaction is committed.
create or replace function net._enqueue(
  method text, url text, params jsonb, headers jsonb, body jsonb, timeout_milliseconds integer
)
returns bigint
language sql volatile
set search_path = ''
as $$
  select pg_catalog.pg_notify('pg_net', '');
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    _enqueue.method,
    net._encode_url_with_params_array(
      _enqueue.url,
      (
        select coalesce(array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}')
        from jsonb_each_text(_enqueue.params)
      )
    ),
    _enqueue.headers,
    convert_to(_enqueue.body::text, 'UTF8'),
    _enqueue.timeout_milliseconds
  )
  returning id
$$;

create or replace function net.http_get(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds integer default 5000
)
returns bigint
language sql volatile strict
set search_path = ''
as $$
  select net._enqueue('GET', url, params, headers, null, timeout_milliseconds)
$$;

create or replace function net.http_delete(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds integer default 5000,
  body jsonb default null
)
returns bigint
language sql volatile
set search_path = ''
as $$
  select net._enqueue('DELETE', url, params, headers, body, timeout_milliseconds)
$$;

create or replace function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}', timeout_milliseconds integer default 5000
)
returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  v_type text;
begin
  select header.value into v_type
  from jsonb_each_text(coalesce(headers, '{}')) as header
  where lower(header.key) = 'content-type'
  limit 1;
  if v_type is null then
    headers := headers || '{"Content-Type": "application/json"}';
  elsif v_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  if body is null then
    raise exception 'body must not be null';
  end if;
  return net._enqueue('POST', url, params, headers, body, timeout_milliseconds);
end
$$;

create or replace function net.check_worker_is_up()
returns void
language plpgsql
as $$
begin
  if not exists (select from pg_catalog.pg_stat_activity where application_name = 'pg_net (devstack)') then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;

create or replace function net._await_response(request_id bigint)
returns boolean
language plpgsql volatile strict
as $$
begin
  loop
    if exists (select from net._http_response as response where response.id = request_id) then
      return true;
    end if;
    perform pg_sleep(0.05);
  end loop;
end
$$;

create or replace function net._http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql volatile strict
as $$
declare
  v_found net._http_response;
begin
  if not async then
    perform net._await_response(request_id);
  end if;
  select * into v_found from net._http_response as response where response.id = request_id;
  if not found or v_found.error_msg is not null then
    return (
      'ERROR', coalesce(v_found.error_msg, 'request matching request_id not found'), null
    )::net.http_response_result;
  end if;
  return ('SUCCESS', 'ok', (v_found.status_code, v_found.headers, v_found.content)::net.http_response)::net.http_response_result;
end
$$;

-- As in pg_net: whoever may use the schema may also read what is queued, headers included.
grant usage on schema net to supabase_functions_admin, postgres, anon, authenticated, service_role;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;

create schema if not exists supabase_functions authorization supabase_admin;
create table if not exists supabase_functions.hooks (
  id bigserial primary key,
  hook_table_id integer not null,
  hook_name text not null,
  created_at timestamptz not null default now(),
  request_id bigint
);
create index if not exists supabase_functions_hooks_request_id_idx on supabase_functions.hooks (request_id);
create index if not exists supabase_functions_hooks_h_table_id_h_name_idx
on supabase_functions.hooks (hook_table_id, hook_name);
comment on table supabase_functions.hooks is 'Supabase Functions Hooks: Audit trail for triggered hooks.';

-- The dashboard's webhook: a trigger with the arguments url, method, headers, params, timeout in milliseconds.
create or replace function supabase_functions.http_request()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_url text := nullif(tg_argv[0], 'null');
  v_method text := nullif(tg_argv[1], 'null');
  v_headers jsonb := coalesce(nullif(tg_argv[2], 'null'), '{"Content-Type": "application/json"}');
  v_params jsonb := coalesce(nullif(tg_argv[3], 'null'), '{}');
  v_timeout_ms integer := coalesce(nullif(tg_argv[4], 'null'), '1000');
  v_request bigint;
begin
  if v_url is null then
    raise exception 'url argument is missing';
  end if;
  if v_method is null then
    raise exception 'method argument is missing';
  end if;
  if v_method = 'GET' then
    v_request := net.http_get(v_url, v_params, v_headers, v_timeout_ms);
  elsif v_method = 'POST' then
    v_request := net.http_post(
      v_url,
      jsonb_build_object(
        'old_record', old, 'record', new, 'type', tg_op, 'table', tg_table_name, 'schema', tg_table_schema
      ),
      v_params, v_headers, v_timeout_ms
    );
  else
    raise exception 'method argument % is invalid', v_method;
  end if;
  insert into supabase_functions.hooks (hook_table_id, hook_name, request_id) values (tg_relid, tg_name, v_request);
  return new;
end
$$;

alter table supabase_functions.hooks owner to supabase_functions_admin;
alter function supabase_functions.http_request() owner to supabase_functions_admin;
grant all on schema supabase_functions to supabase_functions_admin;
grant usage on schema supabase_functions to postgres, anon, authenticated, service_role;
grant all on supabase_functions.hooks to postgres, anon, authenticated, service_role;
grant all on all sequences in schema supabase_functions to supabase_functions_admin, postgres, anon, authenticated, service_role;
revoke all on function supabase_functions.http_request() from public;
grant execute on function supabase_functions.http_request() to postgres, anon, authenticated, service_role;
