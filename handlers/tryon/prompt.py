"""The words a try-on is drawn from. Knows how the images are counted; does not judge what people wrote."""

from __future__ import annotations

from handlers.tryon.params import PROMPT_MARK, TryonParams

GARMENTS_MARK = "{garments}"
TEMPLATE = (
    "Virtual try-on. Image 1 shows a person. Dress the person of image 1 in {garments}. "
    "Keep the face, the hair, the build, the pose, the hands, the light and the background of image 1 as they are. "
    "Keep the colour, the cut, the fabric, the pattern and every print of {garments}. One photograph. {prompt}"
)


def compose_prompt(params: TryonParams) -> str:
    """Put the row's own words into the template of its variant, or into the usual one."""
    template = params.overrides.prompt_template or TEMPLATE
    # The owner's words go in last, so that a mark among them stays what it is.
    composed = template.replace(GARMENTS_MARK, _garments(len(params.image_urls) - 1))
    return composed.replace(PROMPT_MARK, params.prompt or "").strip()


def _garments(count: int) -> str:
    numbers = [str(number) for number in range(2, 2 + count)]
    if count == 1:
        return "the garment of image 2"
    return f"the garments of images {', '.join(numbers[:-1])} and {numbers[-1]}"
