"""What every kind of one image tells in its row. Knows the contract alone."""

from __future__ import annotations

from listener.contract import GeneratedImage, Generation, SavedArtifact


def result_of(
    generation: Generation, image: GeneratedImage, saved: SavedArtifact, processing_time_s: float
) -> dict[str, object]:
    """Where the image is, and how it was really made."""
    return {
        "image_url": saved.url,
        "image_path": saved.path,
        "expires_at": saved.expires_at.isoformat(),
        "model": generation.model,
        "pipeline": generation.pipeline_class,
        "device": generation.device,
        "seed": image.seed,
        "num_inference_steps": generation.steps,
        "guidance_scale": generation.guidance_scale,
        "notes": list(generation.notes),
        "processing_time_s": round(processing_time_s, 3),
    }
