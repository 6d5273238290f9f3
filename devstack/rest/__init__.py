"""The REST API over tables and functions, as PostgREST 14 speaks it, for the subset an app and a worker use.

The way of a request: token (who) -> parse (what the URL asks) -> statement (SQL) -> answer (status, headers, body).
"""
