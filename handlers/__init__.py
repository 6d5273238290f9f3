"""Handlers, one folder per kind, and the generation runtime they share."""
