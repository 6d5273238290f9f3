-- listener.misfit
-- Why a table cannot be watched: a name, what was found, what to do about it.
create type listener.misfit as (
  name text,
  detail text,
  hint text
);
