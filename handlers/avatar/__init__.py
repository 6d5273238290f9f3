"""The kind `avatar`: a portrait and a voice in, a clip of that person saying it out."""
