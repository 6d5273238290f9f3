"""Generators elsewhere, each by its provider's official client: OpenAI, Replicate, fal, RunPod."""
