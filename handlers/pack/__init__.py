"""The kind `pack`: several images of one character, with one face."""
