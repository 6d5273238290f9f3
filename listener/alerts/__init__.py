"""Tells Alertmanager's alerts to people by WhatsApp, in a process of its own. Knows no session and no Supabase."""
