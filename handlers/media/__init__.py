"""Sound and video as bytes: decoded, checked and made with FFmpeg's libraries (PyAV), by processes of their own."""
