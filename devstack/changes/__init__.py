"""What was committed to the published tables, read from PostgreSQL's own log; knows nothing of subscribers."""
