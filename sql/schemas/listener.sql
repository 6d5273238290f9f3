-- schema listener
-- Holds the state machine. It is never exposed over the API; the worker's and the users' doors are functions in public.
-- USAGE stands before every grant and before the publication: a published table that a role may read in a schema
-- that it may not use silences Realtime for the whole project.
create schema listener;

revoke all on schema listener from public;
grant usage on schema listener to service_role, authenticated;
