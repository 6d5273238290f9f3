"""Stands in for InfiniteTalk's `generate_infinitetalk.py`: the same command line and input, a real MP4 without a GPU.

The clip shows the picture, a bar that follows the loudness, and carries the sound. `--stand_in WORD[,WORD]` has it
misbehave, `--tell FILE` has it write down how it was run; without these it is good for trying the whole by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import wave
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

FPS = 25
SIDES = {"infinitetalk-480": 640, "infinitetalk-720": 960}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--task", default="infinitetalk-14B", choices=["infinitetalk-14B"])
    parser.add_argument("--size", default="infinitetalk-480", choices=list(SIDES))
    parser.add_argument("--mode", default="clip", choices=["clip", "streaming"])
    for name in ("ckpt_dir", "infinitetalk_dir", "wav2vec_dir"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--input_json", required=True)
    parser.add_argument("--save_file", required=True)
    parser.add_argument("--audio_save_dir", default="save_audio")
    parser.add_argument("--frame_num", type=int, default=81)
    parser.add_argument("--max_frame_num", type=int, default=1000)
    parser.add_argument("--motion_frame", type=int, default=9)
    parser.add_argument("--sample_steps", type=int, default=40)
    parser.add_argument("--base_seed", type=int, default=42)
    parser.add_argument("--sample_text_guide_scale", type=float, default=5.0)
    parser.add_argument("--num_persistent_param_in_dit", type=int)
    parser.add_argument("--stand_in", default="")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--tell")
    return parser.parse_args()


def out_of_memory() -> None:
    print("Traceback (most recent call last):", file=sys.stderr)
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 44.4 GiB", file=sys.stderr)
    sys.exit(1)


def fork_away() -> subprocess.Popen[bytes]:
    """A grandchild in a session of its own that holds on to our output."""
    return subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"], start_new_session=True
    )


def misbehave(words: set[str], args: argparse.Namespace) -> None:
    """What goes wrong before anything is made."""
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "garbage" in words:
        for _ in range(40):
            sys.stdout.buffer.write(b"\xff\xfe\x00\x1b[31m\r\r" + os.urandom(100_000) + b"x" * 5000)
        sys.stdout.flush()
    if "oom" in words or ("oom720" in words and args.size == "infinitetalk-720"):
        out_of_memory()
    if "full" in words:
        print("OSError: [Errno 28] No space left on device", file=sys.stderr)
        sys.exit(1)
    if "crash" in words:
        raise RuntimeError(f"{asked(args)['prompt']} in {args.input_json}")
    for number in (signal.SIGKILL, signal.SIGSEGV):
        if number.name.lower() in words:
            os.kill(os.getpid(), number)


def asked(args: argparse.Namespace) -> dict[str, object]:
    return json.loads(Path(args.input_json).read_text(encoding="utf-8"))


def tell(args: argparse.Namespace, grandchild: int | None) -> None:
    """Write down how it was run, and append nothing: one line for each run."""
    facts = {
        "pid": os.getpid(),
        "grandchild": grandchild,
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "input": asked(args),
        "stdin": sys.stdin.read() if sys.stdin else None,
        "began_s": time.monotonic(),
    }
    with Path(args.tell).open("a") as file:
        file.write(json.dumps(facts) + "\n")


def steps(args: argparse.Namespace, frames: int, slow: bool) -> None:
    """A bar for each part, as tqdm draws it."""
    reached, parts = args.frame_num, 1
    while frames > args.frame_num:
        reached += args.frame_num - args.motion_frame
        parts += 1
        if reached >= frames:
            break
    print("Loading checkpoint shards: 100%|##########| 7/7 [00:01<00:00,  5.00it/s]", file=sys.stderr)
    for _ in range(parts):
        for done in range(args.sample_steps + 1):
            bar = "█" * (10 * done // args.sample_steps)
            sys.stderr.write(
                f"\r{100 * done // args.sample_steps:3d}%|{bar:10}| {done}/{args.sample_steps} [00:00<00:00]"
            )
            sys.stderr.flush()
            time.sleep(0.2 if slow else 0.001)
        sys.stderr.write("\n")
    print(f"Saving video: 100%|##########| {frames}/{frames} [00:00<00:00]", file=sys.stderr)


def lasting_s(path: str) -> float:
    with wave.open(path) as file:
        return file.getnframes() / file.getframerate()


def sound_of(path: str) -> tuple[np.ndarray, int]:
    """One channel of 16 bits, and how many samples there are in a second."""
    import numpy as np

    with wave.open(path) as file:
        assert file.getsampwidth() == 2
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return samples[:, 0].copy(), file.getframerate()


def picture_of(path: str, side: int, scale: float) -> Image.Image:
    """The picture, cut to a size of about the bucket's area that fits its shape."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        ratio = min(4.0, max(0.25, image.height / image.width))
        height = round(side * ratio**0.5 * scale / 16) * 16
        width = round(side / ratio**0.5 * scale / 16) * 16
        return ImageOps.fit(image.convert("RGB"), (max(16, width), max(16, height)))


def make(args: argparse.Namespace, frames: int, target: Path) -> None:
    import av  # what only misbehaves is quicker without
    import numpy as np

    samples, rate = sound_of(str(asked(args)["cond_audio"]["person1"]))
    picture = picture_of(str(asked(args)["cond_video"]), SIDES[args.size], args.scale)
    per_frame = rate / FPS
    samples = samples[: round(frames * per_frame)]
    with av.open(str(target), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "threads": "1"})
        video.width, video.height, video.pix_fmt = *picture.size, "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout="mono")
        for number in range(frames):
            image = np.asarray(picture).copy()
            part = samples[int(number * per_frame) : int((number + 1) * per_frame)].astype(np.float64)
            loud = float(np.sqrt((part**2).mean())) / 32768 if len(part) else 0.0
            image[-max(2, image.shape[0] // 20) :, : int(image.shape[1] * min(1.0, 3 * loud))] = (255, 255, 255)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def main() -> None:
    args = parse()
    words = set(filter(None, args.stand_in.split(",")))
    grandchild = fork_away() if "grandchild" in words else None
    if args.tell:
        tell(args, grandchild.pid if grandchild else None)
    misbehave(words, args)
    there = int(lasting_s(str(asked(args)["cond_audio"]["person1"])) * FPS)
    assert there > args.frame_num, "Audio file not exists or length not satisfies frame nums."
    frames = min(args.max_frame_num, there)
    print(f"Generation job args: {args}")
    steps(args, frames, "slow" in words)
    while "hang" in words:
        time.sleep(600)
    Path(args.audio_save_dir).mkdir(parents=True, exist_ok=True)
    (Path(args.audio_save_dir) / "1.pt").write_bytes(b"embedding")
    target = Path(args.save_file if "bare" in words else f"{args.save_file}.mp4")
    if "empty" in words:
        target.touch()
    elif "text" in words:
        target.write_text("this is no film")
    elif "torn" in words:
        make(args, frames, target)
        target.write_bytes(target.read_bytes()[:300])
    elif "nothing" not in words:
        make(args, frames, target)
    print(f"Saving generated video to {target}")
    if args.tell:
        with Path(f"{args.tell}.ended").open("a") as file:
            file.write(f"{time.monotonic()}\n")


if __name__ == "__main__":
    main()
