"""The kind `headshot`: one prompt, one portrait."""
