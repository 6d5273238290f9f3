"""The kind `tryon`: a person and garments in, the person in these garments out."""
