-- What the tests of the REST API ask about; names and shapes as in the recordings of the real server.
create type public.sess_status as enum ('queued', 'processing', 'completed', 'failed');
create table public.parents (id bigint generated always as identity primary key, name text not null unique);
create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  parent_id bigint references public.parents (id),
  status public.sess_status not null default 'queued',
  priority int not null default 0 check (priority between 0 and 9),
  progress numeric(5, 2),
  params jsonb not null default '{}',
  tags text[] default '{}',
  big bigint default 9007199254740993,
  blob bytea,
  lease_until timestamptz,
  worker text,
  created_at timestamptz not null default now()
);
alter table public.sessions enable row level security;
create policy own_sel on public.sessions for select to authenticated using (user_id = (select auth.uid()));
create policy own_ins on public.sessions for insert to authenticated with check (user_id = (select auth.uid()));
grant all on public.sessions, public.parents to service_role;
grant select, insert on public.sessions to authenticated;
grant select on public.parents to anon, authenticated;

create table public.secret (a int);

create function public.f_scalar(a int, b int default 5) returns int language sql immutable as 'select a + b';
create function public.f_null() returns int language sql as 'select null::int';
create function public.f_void() returns void language sql as '';
create function public.f_json() returns jsonb language sql as $$ select '{"ok":true,"n":1.50}'::jsonb $$;
create function public.f_text() returns text language sql as $$ select 'héllo'::text $$;
create function public.f_row() returns public.parents language sql as 'select * from public.parents order by id limit 1';
create function public.f_table() returns table (x int, y text) language sql as $$ values (1, 'a'), (2, 'b') $$;
create function public.f_out(a int, out b int, out c int) language sql as 'select a, a * 2';
create function public.f_setof_int() returns setof int language sql as 'select generate_series(1, 3)';
create function public.f_many() returns setof int language sql as 'select generate_series(1, 1500)';
create function public.f_arr(ids uuid[]) returns int language sql as 'select cardinality(ids)';
create function public.f_body(jsonb) returns jsonb language sql as 'select $1';
create function public.f_over(a int) returns text language sql as $$ select 'int' $$;
create function public.f_over(a text) returns text language sql as $$ select 'text' $$;
create function public.f_write() returns int language plpgsql as $$
begin
  insert into public.parents (name) values ('w' || gen_random_uuid());
  return 1;
end $$;
create function public.f_says_stable() returns int language sql stable as 'select public.f_write()';
create function public.f_who() returns jsonb language sql stable as $$
  select jsonb_build_object(
    'user', current_user, 'session_user', session_user, 'claims', current_setting('request.jwt.claims')::jsonb,
    'method', current_setting('request.method'), 'path', current_setting('request.path'),
    'label', current_setting('request.headers')::jsonb ->> 'x-label', 'timeout', current_setting('statement_timeout'),
    'read_only', current_setting('transaction_read_only'), 'search_path', current_setting('search_path'),
    'timezone', current_setting('timezone'))
$$;
create function public.f_raise(code text, msg text default 'boom', det text default null, hnt text default null) returns void
language plpgsql as $$
begin
  if det is null then raise exception using errcode = code, message = msg; end if;
  raise exception using errcode = code, message = msg, detail = det, hint = coalesce(hnt, '');
end $$;
create function public.f_status(s text) returns text language plpgsql as $$
begin
  perform set_config('response.status', s, true);
  perform set_config('response.headers', '[{"X-Made":"here"},{"Cache-Control":"no-store"}]', true);
  return 'body';
end $$;
create function public.f_sleep(s float) returns void language sql as 'select pg_sleep(s)';
create function public.f_die() returns void language sql security definer as 'select pg_terminate_backend(pg_backend_pid())';
insert into public.parents (name) values ('p1'), ('p2');
