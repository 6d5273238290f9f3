"""A throwaway PostgreSQL: `cluster.start_cluster()` runs it, `prepare.prepare_database()` makes a project of a database.

Nothing is imported here, so that the keeper process starts without a database driver.
"""
