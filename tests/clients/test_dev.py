"""`listener dev` and `listener submit` as a person meets them: one command, one picture, nothing left behind."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
from click.testing import CliRunner
from PIL import Image

from listener.cli.submit import submit
from tests.support.photographs import garment, person
from tests.support.project import ROOT, Project, dev_environment, running_dev

ENDED_WITHIN_S = 20.0


def run_listener(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "listener", *arguments],
        cwd=folder,
        env=dev_environment(folder / "state", **settings) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )


async def data_directory(dev: Project) -> Path:
    connection = await asyncpg.connect(dev.db_url)
    try:
        return Path(await connection.fetchval("show data_directory"))
    finally:
        await connection.close()


def test_one_command_ends_with_a_picture(tmp_path: Path) -> None:
    done = run_listener(tmp_path, "dev", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("image: ")
    with Image.open(tmp_path / last.removeprefix("image: ")) as image:
        assert image.size == (128, 128)
    assert "processing" in done.stdout
    assert not (tmp_path / "state" / "listener" / "dev.json").exists()


async def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    with running_dev(tmp_path) as project:
        family = psutil.Process(project.process.pid).children(recursive=True)
        assert len(family) >= 4  # the keeper, PostgreSQL, the worker and its GPU child
        folder = await data_directory(project)
        assert folder.is_dir()
        project.process.send_signal(signal.SIGINT)
        assert project.process.wait(ENDED_WITHIN_S) == 0
        _, alive = psutil.wait_procs(family, ENDED_WITHIN_S)
        assert alive == []
        assert not folder.parent.exists()
        assert not (project.state_home / "listener" / "dev.json").exists()


async def test_when_it_is_killed_everything_goes_with_it(tmp_path: Path) -> None:
    with running_dev(tmp_path) as project:
        family = psutil.Process(project.process.pid).children(recursive=True)
        folder = await data_directory(project)
        project.process.kill()
        _, alive = psutil.wait_procs(family, ENDED_WITHIN_S)
        assert alive == []
        assert not folder.exists()


@pytest.mark.slow
def test_a_worker_that_dies_ends_it_loudly(tmp_path: Path) -> None:
    with running_dev(tmp_path) as project:
        family = psutil.Process(project.process.pid).children(recursive=True)
        [worker] = [process for process in family if process.cmdline()[-3:] == ["-m", "listener", "run"]]
        worker.kill()
        assert project.process.wait(ENDED_WITHIN_S) == 1
        _, alive = psutil.wait_procs(family, ENDED_WITHIN_S)
        assert alive == []
    said = (tmp_path / "dev.log").read_text()
    assert "the worker ended by itself (exit status -9)" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_demo_stays_up_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "listener", "dev", "--demo"],
        cwd=tmp_path,
        env=dev_environment(tmp_path / "state") | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    with process.stdout:
        said = b""
        while b"It goes on" not in said and (chunk := _read_screen(process.stdout.fileno())):
            said += chunk
        process.send_signal(signal.SIGINT)
        assert process.wait(ENDED_WITHIN_S) == 0, said.decode()
    lines = said.decode().splitlines()
    [picture] = [line.removeprefix("image: ") for line in lines if line.startswith("image: ")]
    assert (tmp_path / picture).is_file()
    assert [line.split(":")[0] for line in lines if "http://" in line] == ["Open this page", "The HTTP API"]
    assert any("listener submit" in line for line in lines)


def test_the_note_for_other_terminals_is_private_and_holds_no_secret(dev: Project) -> None:
    note = dev.state_home / "listener" / "dev.json"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    text = note.read_text()
    assert dev.url in text
    assert dev.service_role_key not in text
    assert dev.jwt_secret not in text


def test_the_api_is_tried_as_the_handbook_says(dev: Project, tmp_path: Path) -> None:
    handbook = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = handbook.partition("## Try it")[2].split("```")[1].strip().splitlines()
    commands = "\n".join(line.removeprefix("$ ") for line in told[1:-1])
    assert (told[0], told[-1][:10]) == ("$ listener dev --json > dev.json &", '{"data": {')
    facts = {name: getattr(dev, name) for name in ("url", "service_role_key", "api_url")}
    (tmp_path / "dev.json").write_text(json.dumps(facts))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = dev_environment(tmp_path) | {"PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["data"]) == (0, {"credits": 10}), done.stderr.decode()


def test_submit_tries_a_garment_on(dev: Project, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(person())
    (tmp_path / "suit.jpg").write_bytes(garment())
    pictures = ["--person", "me.jpg", "--garment", "suit.jpg"]
    done = run_listener(tmp_path, "submit", *pictures, "--watch", XDG_STATE_HOME=str(dev.state_home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "completed" in done.stdout
    with Image.open(tmp_path / done.stdout.splitlines()[-1].removeprefix("image: ")) as image:
        assert (image.format, image.size) == ("JPEG", (96, 128))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs a PROMPT"),
        (["--person", "dev.py"], "at least one --garment"),
        (["--person", "dev.py", "--garment", "dev.py", "--seed", "5"], "a try-on has no seed"),
    ],
)
def test_submit_says_what_a_try_on_lacks(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "dev.py").write_text("no picture")
    asked = CliRunner().invoke(submit, [argument.replace("dev.py", str(tmp_path / "dev.py")) for argument in arguments])
    assert (asked.exit_code, words in asked.output) == (2, True), asked.output


def test_submit_finds_the_running_stack_and_saves_the_picture(dev: Project, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    done = run_listener(
        tmp_path,
        "submit",
        "a calm portrait",
        "--seed",
        "5",
        "--out",
        str(picture),
        XDG_STATE_HOME=str(dev.state_home),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "completed" in done.stdout
    assert done.stdout.splitlines()[-1] == f"image: {picture}"
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_the_same_seed_draws_the_same_picture(dev: Project, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        done = run_listener(
            tmp_path, "submit", "the same", "--seed", "5", "--out", name, XDG_STATE_HOME=str(dev.state_home)
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_session_that_fails_is_said_and_exits_with_1(dev: Project, tmp_path: Path) -> None:
    done = run_listener(tmp_path, "submit", " ", "--watch", XDG_STATE_HOME=str(dev.state_home))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed" in done.stderr


def test_in_a_terminal_submit_draws_a_bar(dev: Project, tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "listener", "submit", "a calm portrait", "--watch"],
        cwd=tmp_path,
        env=dev_environment(dev.state_home) | {"PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    drawn = b""
    while chunk := _read_screen(screen):
        drawn += chunk
    os.close(screen)
    assert process.wait(ENDED_WITHIN_S) == 0
    assert b"100%" in drawn
    assert b"completed" in drawn
    assert b"image: out/" in drawn


def _read_screen(screen: int) -> bytes:
    ready, _, _ = select.select([screen], [], [], 60.0)
    assert ready, "nothing was drawn for a minute"
    try:
        return os.read(screen, 65_536)
    except OSError:  # the program ended, and Linux says so in this way
        return b""


def test_submit_without_a_project_says_what_to_do(tmp_path: Path) -> None:
    done = run_listener(tmp_path, "submit", "a portrait")
    assert done.returncode == 78
    assert "listener dev" in done.stderr


def test_submit_to_a_stack_that_is_gone_exits_with_69(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    done = run_listener(tmp_path, "submit", "a portrait", SUPABASE_URL=url, SUPABASE_ANON_KEY="k" * 40)
    assert done.returncode == 69, done.stdout + done.stderr
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a terminal is a POSIX thing here")
def test_a_stack_that_cannot_start_says_why_in_one_line(tmp_path: Path, unused_tcp_port: int) -> None:
    done = run_listener(tmp_path, "dev", "--once", LISTENER_PG_BIN=str(tmp_path))
    assert done.returncode == 1
    assert "LISTENER_PG_BIN" in done.stderr
    assert "Traceback" not in done.stderr
