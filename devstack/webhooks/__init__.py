"""HTTP requests from SQL, as pg_net sends them: after the commit, once, and without a promise."""
