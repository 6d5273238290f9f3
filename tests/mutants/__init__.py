"""Seeded defects of the SQL: what the tests must see is broken on purpose, one thing at a time."""
