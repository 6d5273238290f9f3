"""Buckets and objects, as supabase/storage answers: rows under row level security, bytes in files beside them."""
