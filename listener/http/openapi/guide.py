"""What a caller should know beside the operations: time, repeats, limits, waiting. Words only, in Markdown."""

from __future__ import annotations

from importlib.resources import files

ABOUT = files(__package__).joinpath("guide.md").read_text(encoding="utf-8")
GROUPS = {
    "Sessions": "What a store's server orders, by its API key.",
    "Credits": "What is left to spend.",
    "Avatars": "A portrait and a voice become a clip. For stores and for signed-in users.",
    "Characters and packs": "For signed-in users of the app. Bodies have no envelope.",
    "Sizing": "Measures and a size from one photograph.",
    "Other endpoints": "What installed packages answer.",
    "Webhooks of the database": "What wakes a worker; sent by Supabase.",
    "Probes": "For whoever runs the worker. They ask nothing over the network.",
    "This document": "As JSON, and to read.",
}
