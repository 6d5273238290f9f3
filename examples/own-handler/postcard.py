"""Serves the kind `postcard`: a place in, a picture of it out."""

import asyncio
import io

from PIL import Image
from pydantic import BaseModel, Field

from listener.contract import Artifact, Context, GeneratedImage, GenerationRequest, Session


class PostcardParams(BaseModel):
    place: str = Field(min_length=1, max_length=200, repr=False)


class PostcardHandler:
    kind = "postcard"
    Params: type[PostcardParams] = PostcardParams

    async def run(self, session: Session, params: PostcardParams, context: Context) -> None:
        prompt, seed = f"a postcard from {params.place}", session.id.int % 2**53
        request = GenerationRequest("headshot", session.id, prompt, seeds=(seed,), width=192, height=128)
        picture = (await context.generate(request)).images[0]
        jpeg = await asyncio.to_thread(encode, picture)
        saved = await context.save(Artifact("card.jpg", jpeg, "image/jpeg", picture.width, picture.height))
        context.finish({"image_url": saved.url, "image_path": saved.path})


def encode(picture: GeneratedImage) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (picture.width, picture.height), picture.rgb).save(file, "JPEG", quality=92)
    return file.getvalue()
