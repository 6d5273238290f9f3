"""Pictures made to hurt whoever decodes them, each a few kilobytes or less than the limit of a file."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
MIB = 2**20


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def inflating(size_bytes: int) -> bytes:
    """So many zeros, packed: one MiB of them, again and again."""
    packer = zlib.compressobj(9)
    start = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (size_bytes % 65521) << 16 | 1
    return start + block * (size_bytes // MIB - 1) + b"\x03\0" + struct.pack(">I", checksum)


def png_of(width: int, height: int, *extra: bytes, pixels: bytes | None = None) -> bytes:
    rows = zlib.compress(bytes((1 + 3 * width) * height)) if pixels is None else pixels
    return header(width, height) + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def webp(kind: bytes, body: bytes) -> bytes:
    inner = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def jpeg_with_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_with_second_frame() -> bytes:
    """Small in the first header, huge in another behind it."""
    data = encoded(Image.new("RGB", (16, 16)), "JPEG")
    frame = data.index(b"\xff\xc0")
    length = int.from_bytes(data[frame + 2 : frame + 4])
    again = bytearray(data[frame : frame + 2 + length])
    again[5:9] = struct.pack(">HH", 65000, 65000)
    return data[: frame + 2 + length] + bytes(again) + data[frame + 2 + length :]


def jpeg_of_many_scans() -> bytes:
    """Each scan makes the decoder walk through all 24 megapixels once more."""
    data = encoded(Image.new("L", (4900, 4900)), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    last = data.rindex(b"\xff\xda")
    return data[:first] + data[first:-2] + data[last:-2] * 4000 + b"\xff\xd9"


def jpeg_of_nothing_but_fill() -> bytes:
    """Any number of these bytes may stand before a marker; here none follows."""
    return b"\xff\xd8".ljust(10 * MIB - 1, b"\xff")


def apng() -> bytes:
    frames = [Image.new("RGB", (64, 64), (n, 0, 0)) for n in range(200)]
    return encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])


def bombs() -> dict[str, bytes]:
    text = inflating(MIB)
    texts = [chunk(b"zTXt", f"k{n}".encode() + b"\0\0" + text) for n in range(500)]
    return {
        "png_of_2500_megapixels": png_of(50_000, 50_000, pixels=zlib.compress(b"")),
        "png_a_row_above_the_cap": png_of(5000, 5001, pixels=inflating(75 * MIB)),
        "png_that_inflates_to_a_gigabyte": png_of(100, 100, pixels=inflating(1024 * MIB)),
        "png_with_compressed_texts": png_of(1, 1, *texts),
        "png_with_an_inflating_profile": png_of(1, 1, chunk(b"iCCP", b"icc\0\0" + inflating(512 * MIB))),
        "png_of_one_endless_row": png_of(24_000_000, 1, pixels=inflating(70 * MIB)),
        "png_of_two_hundred_frames": apng(),
        "jpeg_of_4225_megapixels": jpeg_with_size(65_000, 65_000),
        "jpeg_with_a_second_frame_header": jpeg_with_second_frame(),
        "jpeg_of_four_thousand_scans": jpeg_of_many_scans(),
        "jpeg_of_nothing_but_fill": jpeg_of_nothing_but_fill(),
        "webp_canvas_of_268_megapixels": webp(b"VP8X", bytes(4) + b"\xff\x3f\0" * 2) + bytes(64),
        "webp_lossless_of_268_megapixels": webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(64)),
        "webp_that_says_it_is_small": webp(
            b"VP8X", bytes(4) + b"\x0f\0\0" * 2 + b"VP8L" + struct.pack("<I", 69) + b"\x2f\xff\xff\xff\x0f" + bytes(64)
        ),
    }
