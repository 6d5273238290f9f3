-- Tables that lead to each other in every way: clients 1-n projects, projects n-m workers, projects 1-1 budgets,
-- two keys from trips to places, and folders in folders.
create table public.clients (id int primary key, name text not null);
create table public.projects (
  id int primary key,
  name text not null,
  client_id int references public.clients (id),
  details jsonb
);
create table public.workers (id int primary key, name text not null);
create table public.assignments (
  project_id int references public.projects (id),
  worker_id int references public.workers (id),
  primary key (project_id, worker_id)
);
create table public.budgets (project_id int primary key references public.projects (id), cents int);
create table public.places (id int primary key, name text);
create table public.trips (
  id int primary key,
  start_id int constraint trips_start references public.places (id),
  end_id int constraint trips_end references public.places (id)
);
create table public.folders (id int primary key, parent_id int references public.folders (id));
create function public.some_projects() returns setof public.projects language sql stable as
'select * from public.projects where id < 3';
create function public.latest(public.clients) returns setof public.projects rows 1 language sql stable as
$$ select * from public.projects where client_id = $1.id order by id desc limit 1 $$;
create function public.namesakes(public.clients) returns setof public.projects language sql stable as
$$ select * from public.projects where client_id = $1.id and name like '%e%' $$;
insert into public.clients values (1, 'Ada'), (2, 'Bob'), (3, 'Cy');
insert into public.projects values
  (1, 'engine', 1, '{"year": 1843}'), (2, 'notes', 1, null), (3, 'tune', 2, null), (4, 'stray', null, null);
insert into public.workers values (1, 'Kim'), (2, 'Lee');
insert into public.assignments values (1, 1), (1, 2), (3, 2);
insert into public.budgets values (1, 500), (2, 70);
insert into public.places values (1, 'here'), (2, 'there');
insert into public.trips values (1, 1, 2);
insert into public.folders values (1, null), (2, 1), (3, 1);
grant all on all tables in schema public to service_role;
