"""Strangers' pictures come out upright, small, and without a past, or are refused by name with what to give instead."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from handlers.inputs import pictures
from handlers.inputs.picture_headers import JPEG, PNG, read_header
from handlers.inputs.pictures import DATA_MAX_BYTES, Picture, read_picture
from listener.errors import InputUnavailable, Unusable
from tests.handlers.bombs import bombs, chunk, encoded, png_of

ROOT = Path(__file__).parents[2]
GROWTH_MAX_MIB = 128
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.png))
    image.load()
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (picture.width, picture.height))
    return image


def quarters(width: int = 40, height: int = 20) -> Image.Image:
    """Red above left, green above right, blue below left, white below right."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def corners(image: Image.Image) -> list[str]:
    names = {RED: "red", GREEN: "green", BLUE: "blue", WHITE: "white"}
    right, below = image.width - 3, image.height - 3
    found = [image.getpixel(place) for place in ((2, 2), (right, 2), (2, below), (right, below))]
    return [
        next(n for c, n in names.items() if all(abs(a - b) < 30 for a, b in zip(c, at, strict=True))) for at in found
    ]


async def refusal(data: bytes, **options: object) -> InputUnavailable:
    with pytest.raises(InputUnavailable) as refused:
        await read_picture(data, **options)
    assert refused.value.details["remedy"]
    return refused.value


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
async def test_png_jpeg_and_webp_are_read(kind: str, options: dict[str, object]) -> None:
    image = opened(await read_picture(encoded(quarters(), kind, **options)))
    assert image.size == (40, 20)
    assert corners(image) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize(
    ("size", "side_max_px", "made"),
    [
        ((3000, 1500), 1024, (1024, 512)),
        ((900, 4000), 512, (115, 512)),
        ((1024, 1024), 1024, (1024, 1024)),
        ((7, 5), 1024, (7, 5)),
        ((4096, 3), 64, (64, 1)),
    ],
)
async def test_a_picture_is_brought_down_to_the_side_and_never_up(
    size: tuple[int, int], side_max_px: int, made: tuple[int, int]
) -> None:
    picture = await read_picture(encoded(quarters(*size), "PNG" if max(size) % 8 else "JPEG"), side_max_px)
    assert (picture.width, picture.height) == made


async def test_what_is_brought_down_looks_like_what_pillow_makes_of_it() -> None:
    original = Image.radial_gradient("L").convert("RGB").resize((3001, 2003))
    made = opened(await read_picture(encoded(original, "PNG", compress_level=1), 512))
    expected = original.copy()
    expected.thumbnail((512, 512), Image.Resampling.LANCZOS)
    assert made.size == expected.size
    assert max(abs(a - b) for a, b in zip(made.tobytes(), expected.tobytes(), strict=True)) <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_picture_stands_upright_whatever_its_camera_noted(orientation: int) -> None:
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # the values of Image.Transpose
    stored = quarters() if orientation == 1 else quarters().transpose(Image.Transpose(turns[back[orientation]]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    kind = ("JPEG", "PNG", "WEBP")[orientation % 3]
    made = opened(await read_picture(encoded(stored, kind, exif=exif, quality=95)))
    assert made.size == (40, 20)
    assert corners(made) == ["red", "green", "blue", "white"]


def modes() -> list[tuple[str, bytes]]:
    see_through = quarters().convert("RGBA")
    see_through.paste((0, 0, 0, 0), (20, 10, 40, 20))
    palette = quarters().convert("P", palette=Image.Palette.ADAPTIVE)
    grey = Image.new("I;16", (40, 20), 65535)
    return [
        ("alpha", encoded(see_through, "PNG")),
        ("alpha in webp", encoded(see_through, "WEBP", lossless=True)),
        ("palette", encoded(palette, "PNG")),
        ("palette with a hole", encoded(palette, "PNG", transparency=palette.getpixel((39, 19)))),
        ("16 bits of grey", encoded(grey, "PNG")),
        ("grey", encoded(Image.new("L", (40, 20), 255), "PNG")),
        ("grey and alpha", encoded(Image.new("LA", (40, 20), (0, 0)), "PNG")),
        ("one bit", encoded(Image.new("1", (40, 20), 1), "PNG")),
        ("cmyk", encoded(quarters().convert("CMYK"), "JPEG", quality=95)),
        ("grey jpeg", encoded(Image.new("L", (40, 20), 255), "JPEG")),
    ]


@pytest.mark.parametrize(("name", "data"), modes(), ids=[name for name, _ in modes()])
async def test_every_way_to_store_colours_becomes_rgb_on_white(name: str, data: bytes) -> None:
    found = corners(opened(await read_picture(data)))
    assert found == (["red", "green", "blue", "white"] if "grey" not in name and name != "one bit" else ["white"] * 4)


async def test_sixteen_bits_of_grey_keep_their_middle() -> None:
    image = opened(await read_picture(encoded(Image.new("I;16", (8, 8), 32896), "PNG")))
    assert image.getpixel((4, 4)) == (128, 128, 128)


async def test_a_colour_profile_is_applied_before_it_goes() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    swapped = swapped_profile()
    made = opened(await read_picture(encoded(Image.new("RGB", (16, 16), (200, 40, 40)), "PNG", icc_profile=swapped)))
    red, green, _ = made.getpixel((8, 8))
    assert green > red, "red and green were swapped by the profile"
    unusable = opened(await read_picture(encoded(Image.new("RGB", (16, 16), RED), "PNG", icc_profile=profile)))
    assert unusable.getpixel((8, 8)) == RED


def swapped_profile() -> bytes:
    """sRGB with the colourants of red and green exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def tagged(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "CANARY camera"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 59.0)
    return encoded(quarters(), kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_where_it_was_taken_and_with_what_is_gone(kind: str) -> None:
    data = tagged(kind)
    assert b"CANARY" in data
    picture = await read_picture(data)
    assert b"CANARY" not in picture.png
    image = opened(picture)
    assert not dict(image.getexif())
    assert not image.info


@pytest.mark.parametrize(
    ("kind", "tail"),
    [("JPEG", b"PK\x03\x04CANARY"), ("PNG", b"<script>CANARY()</script>"), ("WEBP", b"\0" * 1000 + b"CANARY")],
)
async def test_what_hides_behind_a_picture_does_not_come_along(kind: str, tail: bytes) -> None:
    picture = await read_picture(encoded(quarters(), kind) + tail)
    assert b"CANARY" not in picture.png
    assert corners(opened(picture)) == ["red", "green", "blue", "white"]


async def test_the_second_view_in_a_phones_jpeg_is_left_out() -> None:
    data = encoded(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (40, 20), BLUE)], quality=95)
    assert corners(opened(await read_picture(data))) == ["red", "green", "blue", "white"]


OTHERS = {
    "a GIF": lambda: encoded(quarters(), "GIF"),
    "a BMP": lambda: encoded(quarters(), "BMP"),
    "a TIFF": lambda: encoded(quarters(), "TIFF"),
    "a PDF": lambda: encoded(quarters(), "PDF"),
    "an icon": lambda: encoded(quarters(), "ICO"),
    "a HEIC": lambda: b"\0\0\0\x18ftypheic" + bytes(64),
    "an AVIF": lambda: b"\0\0\0\x18ftypavif" + bytes(64),
    "an SVG": lambda: b"  <svg xmlns='http://www.w3.org/2000/svg'/>",
    "a web page": lambda: b"<!DOCTYPE html><img src=x>",
    "a ZIP": lambda: b"PK\x03\x04" + bytes(64),
    "no picture that is known here": lambda: b"hello",
}


@pytest.mark.parametrize("name", OTHERS)
async def test_another_format_is_refused_by_its_name(name: str) -> None:
    error = await refusal(OTHERS[name](), field="person_image_url")
    assert error.details["problem"] == f"is {name}"
    assert error.details["field"] == "person_image_url"
    assert "PNG" in error.details["remedy"]


async def test_an_animation_is_refused() -> None:
    for kind in ("PNG", "WEBP"):
        data = encoded(quarters(), kind, save_all=True, append_images=[Image.new("RGB", (40, 20), BLUE)])
        assert (await refusal(data)).details["problem"] == "is animated"


@pytest.mark.parametrize(("kind", "kept"), [("PNG", 0.05), ("PNG", 0.7), ("JPEG", 0.7), ("WEBP", 0.7)])
async def test_half_a_file_is_refused(kind: str, kept: float) -> None:
    data = encoded(Image.effect_noise((64, 64), 50).convert("RGB"), kind)
    error = await refusal(data[: int(len(data) * kept)])
    assert error.details["problem"].startswith(("is broken", "is a broken", "is no picture"))


async def test_a_file_above_the_limit_is_not_looked_at() -> None:
    error = await refusal(png_of(1, 1) + bytes(DATA_MAX_BYTES))
    assert error.details["problem"] == "is larger than 10 MiB"


async def test_a_picture_of_25_megapixels_is_read_and_one_row_more_is_not() -> None:
    flat = Image.new("L", (5000, 5000), 9)
    assert (await read_picture(encoded(flat, "PNG", compress_level=1))).width == 1024
    data = bombs()["png_a_row_above_the_cap"]
    assert (await refusal(data)).details["problem"] == "has 5000 x 5001 pixels"


@settings(deadline=None)
@given(
    st.sampled_from([b"", PNG, JPEG, JPEG[:2], b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8 ", b"\0\0\0\0ftyp"]),
    st.binary(max_size=200),
)
def test_no_first_bytes_break_the_reading_of_headers(start: bytes, rest: bytes) -> None:
    with suppress(Unusable):
        header = read_header(start + rest)
        assert header.width > 0
        assert header.height > 0


def test_twelve_of_twelve_bombs_take_no_more_than_128_mib(tmp_path: Path) -> None:
    made = bombs()
    assert len(made) >= 12
    (tmp_path / "harmless").write_bytes(encoded(quarters(), "PNG"))
    for name, data in made.items():
        assert len(data) < DATA_MAX_BYTES, name
        (tmp_path / f"bomb_{name}").write_bytes(data)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.handlers.picture_peaks", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    told = json.loads(ran.stdout)
    assert told["own_mib"] <= GROWTH_MAX_MIB
    assert told["child_mib"] <= GROWTH_MAX_MIB
    outcomes = told["outcomes"]
    assert len(outcomes) == len(made)
    # The rows that its header promises, and not one more, are unpacked.
    assert outcomes.pop("bomb_png_that_inflates_to_a_gigabyte") == "100 x 100"
    assert outcomes["bomb_jpeg_of_four_thousand_scans"] == "takes too long to decode"
    assert outcomes["bomb_png_with_compressed_texts"] == "takes more memory than a picture of its size may"
    assert not [name for name, outcome in outcomes.items() if outcome[0].isdigit()]


async def test_the_loop_runs_on_while_pictures_are_decoded() -> None:
    data = encoded(Image.new("RGB", (4000, 4000), RED), "PNG", compress_level=1)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        turning = group.create_task(turn())
        await asyncio.gather(*(read_picture(data) for _ in range(4)))
        turning.cancel()
    assert turns > 100


async def test_a_decoder_that_is_not_waited_for_any_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    begin: Callable[..., object] = asyncio.create_subprocess_exec
    running = asyncio.Event()

    async def watched(*arguments: object, **options: object) -> object:
        process = await begin(*arguments, **options)  # type: ignore[misc]
        started.append(process)
        running.set()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read_picture(bombs()["jpeg_of_four_thousand_scans"]))
        await running.wait()
        reading.cancel()
    assert [process.returncode for process in started] == [-9]


async def test_a_decoder_sees_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is a stranger's file that it runs on; our keys are in the environment."""
    spy = tmp_path / "decoder.py"
    spy.write_text("import os, sys; sys.exit(12 if 'CANARY' in str(os.environ) else 10)")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "CANARY")
    monkeypatch.setattr(pictures, "DECODER", spy)
    assert (await refusal(png_of(1, 1))).details["problem"] == "is broken"


def test_a_decoder_that_was_taken_over_can_open_nothing() -> None:
    """The script with a picture reader that misbehaves in place of Pillow's."""
    misbehaving = (
        "import os, runpy, socket, sys\n"
        "from PIL import Image\n"
        "def taken_over(*_, **__):\n"
        "    opened = []\n"
        "    for attack in (lambda: open('/etc/passwd'), socket.socket, os.pipe):\n"
        "        try:\n"
        "            opened.append(attack())\n"
        "        except OSError:\n"
        "            continue\n"
        "    os._exit(len(opened))\n"
        "Image.open = taken_over\n"
        f"sys.argv = ['decoder', '64', '1000', '100000000', '1']\n"
        f"runpy.run_path({str(pictures.DECODER)!r}, run_name='__main__')\n"
    )
    ran = subprocess.run([sys.executable, "-c", misbehaving], stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert ran.returncode == 0


@pytest.mark.parametrize(
    "answer", [b"", b"\0\0\0\1\0\0\0\1", b"\0\0\xff\xff\0\0\xff\xff" + bytes(9), bytes(50_000_000)]
)
async def test_a_decoder_that_answers_nonsense_is_not_believed(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "answer").write_bytes(answer)
    spy = tmp_path / "decoder.py"
    spy.write_text(f"import sys; sys.stdout.buffer.write(open({str(tmp_path / 'answer')!r}, 'rb').read())")
    monkeypatch.setattr(pictures, "DECODER", spy)
    assert (await refusal(png_of(1, 1), side_max_px=64)).details["problem"] == "is broken"


async def test_a_chunk_that_nobody_knows_does_no_harm() -> None:
    assert (await read_picture(png_of(3, 2, chunk(b"prVt", b"CANARY")))).width == 3
