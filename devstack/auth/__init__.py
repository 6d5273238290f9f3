"""Sign-in: users, their sessions and tokens, as supabase/auth answers, for anonymous users and e-mail with password."""
