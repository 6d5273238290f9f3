"""A throwaway PostgreSQL: `cluster.start_cluster()` runs it, `prepare.prepare_database()` makes it a project.

Nothing is imported here, so that the keeper process starts without a database driver.
"""
