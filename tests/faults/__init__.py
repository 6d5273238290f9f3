"""The fault matrix: real workers, killed, frozen and cut off at every step; what must hold is asked of the database."""
