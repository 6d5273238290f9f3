"""A Supabase of our own for development and tests: `stack.py` puts it together, docs/devstack.md says what it answers.

REST is in `rest/`, Auth in `auth/`, Storage in `objects/`, Realtime in `live/` (and `changes/`, which reads the log),
pg_net in `webhooks/`, PostgreSQL itself in `postgres/`; `gateway.py` is the one port in front of them.
"""
