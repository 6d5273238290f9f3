"""Draws a pack: the reference first, then the others beside it. Knows the order; the rest of the room knows how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from handlers.faces.finder import FaceFinder, is_installed
from handlers.inputs.images import encode_png
from handlers.inputs.pictures import TOO_SLOW, read_picture
from handlers.pack.drawing import Drawing
from handlers.pack.gallery import Gallery
from handlers.pack.likeness import Measure
from handlers.pack.options import PackOptions, options_of
from handlers.pack.params import PackParams, Snapshot
from handlers.pack.plan import PlannedImage, plan_pack
from handlers.pack.poses import read_poses
from listener.contract import Context, EndpointStatus, GenerationRequest, HandlerConfig, RetryPolicy, Session
from listener.errors import InputUnavailable, InputUnreachable, NothingProduced

REFERENCE_SIDE_MAX_PX = 1024
REFERENCE_FIELD = "character.face_reference_path"
EARLIER_FIELD = "character.reference_path"


class PackHandler:
    """Serves the kind `pack`. Raises: from the constructor, ConfigError for poses that cannot be used."""

    kind: ClassVar[str] = "pack"
    Params: type[PackParams] = PackParams
    retry_policy: ClassVar[RetryPolicy] = RetryPolicy.PATIENT

    def __init__(self, options: PackOptions | None = None, faces: FaceFinder | None = None) -> None:
        self.options = options or PackOptions()
        self._poses = read_poses(self.options.poses)
        self._faces = faces if faces is not None or not is_installed() else FaceFinder()

    @classmethod
    def configured(cls, config: HandlerConfig) -> PackHandler:
        """Build it as the settings say. Raises: ConfigError."""
        return cls(options_of(config.options))

    async def run(self, session: Session, params: PackParams, context: Context) -> None:
        """Draw, measure, store and show one image after the other; keep what there is whenever it ends."""
        character = params.character
        plan = plan_pack(character.id, character.config, character.style, self._poses, params.image_count)
        # Every word that a user chose stands in the first prompt: nothing is fetched or paid for before it is judged.
        await context.judge({"prompt": plan[0].prompt, "negative_prompt": plan[0].negative_prompt})
        await context.progress(0, len(plan), "drawing the first image")
        notes = _notes(params, self._faces)
        measure = Measure(self._faces, self.options.similarity_min, context, notes)
        given = await _given_reference(params.character, context, notes)
        for picture in given:
            await measure.take_reference(picture)
        gallery = Gallery(params, context, plan[0].seed, notes)
        drawing = Drawing(_request(session, plan[0]), self.options, context, gallery, measure)
        first = await drawing.first(plan[0], given)
        reference = given or (await encode_png(first.rgb, first.width, first.height),)
        await drawing.others(plan[1:], reference)
        if gallery.is_empty:
            raise NothingProduced(details={"missing": gallery.missing})

    def parts(self) -> Mapping[str, Callable[[], EndpointStatus]]:
        """The face process, where faces are measured."""
        return {"faces": self._faces.status} if self._faces is not None else {}

    async def close(self) -> None:
        """End the face process."""
        if self._faces is not None:
            await self._faces.close()


async def _given_reference(character: Snapshot, context: Context, notes: list[str]) -> tuple[bytes, ...]:
    """The picture that every image is drawn beside, if there is one: the owner's, or an earlier pack's own.

    Raises: InputUnavailable for the owner's, InputUnreachable, and what fetching raises.
    """
    if character.face_reference_path is not None:
        fetched = await context.fetch(character.face_reference_path, REFERENCE_FIELD)
        return ((await read_picture(fetched.data, REFERENCE_SIDE_MAX_PX, REFERENCE_FIELD)).png,)
    if character.reference_path is None:
        return ()
    try:
        fetched = await context.recall(character.reference_path, EARLIER_FIELD)
        return ((await read_picture(fetched.data, REFERENCE_SIDE_MAX_PX, EARLIER_FIELD)).png,)
    except InputUnavailable as error:  # ours, not the owner's, so no fault of his
        if error.details.get("problem") == TOO_SLOW[0]:  # nor the picture's: a face is not given up in a busy hour
            raise InputUnreachable(str(error), details=error.details) from None
        context.log.warning("reference_lost", error=str(error))
    notes.append("the reference image of this character is gone or damaged: this pack's first image took its place")
    return ()


def _request(session: Session, first: PlannedImage) -> GenerationRequest:
    return GenerationRequest(
        kind=PackHandler.kind,
        session=session.id,
        prompt=first.prompt,
        negative_prompt=first.negative_prompt,
        seeds=(first.seed,),
    )


def _notes(params: PackParams, faces: FaceFinder | None) -> list[str]:
    """What of the character's style has no effect here."""
    strength = params.character.style.style_strength
    notes = [f"style_strength {strength:g} was ignored: a reference image is taken as a whole"]
    return notes if faces is not None else [*notes, "faces were not measured: the extra `faces` is not installed"]
