"""Strangers' recordings come out whole, plain and bounded, or are refused by name with what to give instead."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import wave
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from handlers.media import process
from handlers.media.sound import Audio, read_audio
from handlers.media.sound_headers import UnusableSound, read_sound_header
from listener.errors import InputUnavailable
from tests.support.recordings import an_mp3, with_header
from tests.support.sounds import a_tone, wav_of

RATE_AT, FORMAT_AT, CHANNELS_AT, DATA_SIZE_AT = 24, 20, 22, 40
JUNK = np.random.default_rng(0).bytes(9000)
MP3 = an_mp3(2)


def samples_of(audio: Audio) -> np.ndarray:
    """What a player would hear."""
    with wave.open(io.BytesIO(audio.wav)) as read:
        assert (read.getsampwidth(), read.getframerate(), read.getnchannels()) == (2, audio.rate_hz, audio.channels)
        assert read.getnframes() == audio.samples
        return np.frombuffer(read.readframes(read.getnframes()), np.int16).reshape(-1, audio.channels)


@pytest.mark.parametrize(
    ("data", "made"),
    [
        (a_tone(1.5), ("wav", 16_000, 1, 1.5)),
        (a_tone(1.0, rate=48_000, channels=2), ("wav", 48_000, 2, 1.0)),
        (a_tone(1.0, rate=8_000), ("wav", 16_000, 1, 1.0)),
        (a_tone(1.0, rate=37_000, channels=6), ("wav", 44_100, 2, 1.0)),
        (a_tone(1.0, rate=96_000), ("wav", 48_000, 1, 1.0)),
        (with_header(a_tone(1.0), DATA_SIZE_AT, "<I", 0xFFFFFFFF), ("wav", 16_000, 1, 1.0)),
        (MP3, ("mp3", 44_100, 1, 2.0)),
        (b"ID3\x04\0\0\0\0\x20\x00" + bytes(4096) + an_mp3(1, 22_050), ("mp3", 22_050, 1, 1.0)),
    ],
    ids=["wav", "48k stereo", "telephone", "37k of six channels", "96k", "a stream's size", "mp3", "mp3 with a title"],
)
async def test_every_sound_becomes_a_plain_wav_of_its_true_length(
    data: bytes, made: tuple[str, int, int, float]
) -> None:
    audio = await read_audio(data, "audio_url")
    assert (audio.format, audio.rate_hz, audio.channels) == made[:3]
    assert audio.duration_s == pytest.approx(made[3], abs=0.06)
    assert audio.warnings == ()
    heard = samples_of(audio)
    assert np.abs(heard).max() > 5000, "it is still heard"


async def test_a_short_or_silent_sound_is_taken_with_a_warning() -> None:
    short = await read_audio(a_tone(0.4))
    assert [*short.warnings] == ["the sound is shorter than a second: the clip may look poor"]
    silent = await read_audio(wav_of(bytes(2 * 32_000)))
    assert [*silent.warnings] == ["nothing is heard in the sound: the lips will hardly move"]


REFUSED = {
    "nothing": (b"", "INVALID_AUDIO", "has no sound in it"),
    "a WAV without a sample": (wav_of(b""), "INVALID_AUDIO", "has no sound in it"),
    "a WAV of a header alone": (a_tone(1)[:20], "INVALID_AUDIO", "it has no sound in it"),
    "five minutes and a second": (wav_of(bytes(2 * 8_000 * 301), 8_000), "AUDIO_TOO_LONG", "longer than 5 minutes"),
    "an hour of MP3 in little": (an_mp3(20, 16_000, 8_000) * 180, "AUDIO_TOO_LONG", "longer than 5 minutes"),
    "half a WAV": (a_tone(2)[:30_000], "INVALID_AUDIO", "is cut off"),
    "half an MP3": (MP3[: len(MP3) // 2], "INVALID_AUDIO", "is cut off"),
    "a damaged MP3": (MP3[:1500] + JUNK + MP3[10_500:], "INVALID_AUDIO", "is cut off"),
    "a header that claims hours": (with_header(a_tone(1), DATA_SIZE_AT, "<I", 2**31), "INVALID_AUDIO", "is cut off"),
    "one sample a second": (with_header(a_tone(1), RATE_AT, "<I", 1), "INVALID_AUDIO", "sample rate"),
    "two billion samples a second": (with_header(a_tone(1), RATE_AT, "<I", 2**31 - 1), "INVALID_AUDIO", "sample rate"),
    "many channels": (a_tone(0.5, channels=12), "INVALID_AUDIO", "more than 8"),
    "no channel": (with_header(a_tone(1), CHANNELS_AT, "<H", 0), "INVALID_AUDIO", "has no channel"),
    "another codec inside": (with_header(a_tone(1), FORMAT_AT, "<H", 0x55), "INVALID_AUDIO_FORMAT", "another kind"),
    "noise with the right beginning": (b"\xff\xfb\x90\x00" + JUNK, "INVALID_AUDIO", "is broken"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_sound_that_cannot_be_used_is_refused_in_words(name: str) -> None:
    data, reason, words = REFUSED[name]
    with pytest.raises(InputUnavailable) as refused:
        await read_audio(data, "audio_url")
    details = refused.value.details
    assert (details["field"], details["reason"]) == ("audio_url", reason)
    assert words in details["problem"]
    assert details["remedy"]


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (b"GIF89a" + bytes(99), "gif"),
        (b"OggS" + bytes(99), "ogg"),
        (b"fLaC" + bytes(99), "flac"),
        (b"\0\0\0\x20ftypM4A " + bytes(99), "m4a"),
        (b"\0\0\0\x20ftypisom" + bytes(99), "mp4"),
        (b"\xff\xf1\x50\x80" + bytes(99), "aac"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
        (b"RIFF\0\0\0\0AVI LIST", "riff without sound"),
        (b"  <!doctype html>", "web page"),
        (b"words", "unknown"),
    ],
)
async def test_another_format_is_refused_by_its_name_and_never_decoded(
    data: bytes, received: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DECODER", Path("/nowhere"))
    with pytest.raises(InputUnavailable) as refused:
        await read_audio(data)
    details = refused.value.details
    assert (details["reason"], details["received_format"]) == ("INVALID_AUDIO_FORMAT", received)
    assert details["supported_formats"] == ["wav", "mp3"]


async def test_a_sound_over_its_limit_is_not_even_looked_at() -> None:
    with pytest.raises(InputUnavailable) as refused:
        await read_audio(a_tone(1), size_max_bytes=1000)
    assert refused.value.details["reason"] == "AUDIO_TOO_LARGE"


def test_no_header_breaks_the_reader() -> None:
    for data in (MP3, a_tone(0.1)):
        for length in range(64):
            for cut in (data[:length], data[:length] + bytes([255] * 40)):
                with suppress(UnusableSound):
                    read_sound_header(cut)


async def test_a_decoder_that_babbles_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = (
        b"",
        b"no json\n",
        b'{"rate_hz": 16000, "channels": 1, "samples": 9, "peak": 1}\n',
        b'{"rate_hz": 1, "channels": 1, "samples": 0, "peak": 1}\n',
        b"[1]\n",
    )
    for answer in answers:
        spy = tmp_path / "decoder.py"
        spy.write_text(f"import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write({answer!r})")
        monkeypatch.setattr(process, "DECODER", spy)
        with pytest.raises(InputUnavailable, match="is broken"):
            await read_audio(a_tone(0.1))


async def test_a_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = tmp_path / "decoder.py"
    spy.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(process, "DECODER", spy)
    monkeypatch.setattr(process, "DECODE_S", 0.3)
    with pytest.raises(InputUnavailable, match="takes too long"):
        await read_audio(a_tone(0.1))


async def test_a_decoder_sees_no_key_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = tmp_path / "decoder.py"
    spy.write_text("import os, json; print(json.dumps({'refused': 'too_long' if 'CANARY' in str(os.environ) else ''}))")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "CANARY")
    monkeypatch.setattr(process, "DECODER", spy)
    with pytest.raises(InputUnavailable, match="is broken"):
        await read_audio(a_tone(0.1))


def test_a_decoder_that_was_taken_over_can_open_nothing() -> None:
    """The script with a reader that misbehaves in place of FFmpeg's."""
    misbehaving = (
        "import os, runpy, socket, sys, av\n"
        "def taken_over(*_, **__):\n"
        "    opened = []\n"
        "    for attack in (lambda: open('/etc/passwd'), socket.socket, os.pipe):\n"
        "        try:\n"
        "            opened.append(attack())\n"
        "        except OSError:\n"
        "            continue\n"
        "    os._exit(len(opened))\n"
        "av.open = taken_over\n"
        "sys.argv = ['decoder', 'wav', '500000000', '5', '300']\n"
        f"runpy.run_path({str(process.DECODER)!r}, run_name='__main__')\n"
    )
    ran = subprocess.run([sys.executable, "-c", misbehaving], stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert ran.returncode == 0


async def test_five_minutes_of_the_best_sound_fit_into_the_decoder_s_memory() -> None:
    data = wav_of(bytes(273 * 48_000 * 4), 48_000, 2)
    assert 49 * 2**20 < len(data) <= 50 * 2**20 + 100
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    audio = await read_audio(data)
    assert audio.duration_s == 273
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 260, "MiB in the worker"
