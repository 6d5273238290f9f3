"""The REST API over tables and functions, as PostgREST 14 speaks it.

The way of a request: token (who) -> request (how it wants to be answered, by which state of the schema: cache,
catalogue, settings) -> parse (what the URL asks, by the grammar in query.lark) -> tables or functions (one transaction)
-> statement or call (SQL, written by render and embedding) -> answer (status, headers, body).

Not built, and refused as by a server without it: aggregates, query plans, the description of the API, media types of a
project's own, relationships of views.
"""
