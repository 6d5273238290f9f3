"""Runs the tests of an object against a project that has one defect, for each defect: `make mutants`.

Every run must fail, by an assertion and not because the defect does not apply; and without any defect all must pass.
Prints a table that ends with `N of N caught`; the exit status is 0 only then. Arguments choose cases by their names.
"""

from __future__ import annotations

import asyncio
import os
import re
import runpy
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.api_cases import CASES as API_CASES
from tests.mutants.cases import CASES as SQL_CASES
from tests.mutants.cost_cases import CASES as COST_CASES
from tests.mutants.money_cases import CASES as MONEY_CASES
from tests.mutants.mutant import Mutant
from tests.mutants.pack_cases import CASES as PACK_CASES
from tests.mutants.store_cases import CASES as STORE_CASES
from tests.mutants.user_cases import CASES as USER_CASES
from tests.mutants.worker_cases import CASES as WORKER_CASES

ROOT = Path(__file__).parents[2]
SQL = ROOT / "sql"
AT_ONCE = 2
MIGRATION = "20000101000000_mutant.sql"
FAILED = re.compile(r"^(?:FAILED|ERROR) tests/(?:sql/)?(\S+)", re.MULTILINE)
CASES = (*SQL_CASES, *MONEY_CASES, *COST_CASES, *STORE_CASES, *PACK_CASES, *WORKER_CASES, *API_CASES, *USER_CASES)
COPIED = ("devstack", "docs", "examples", "handlers", "listener", "sql", "supabase", "tests", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one case."""

    name: str
    is_good: bool
    text: str
    seconds: float

    def line(self) -> str:
        """One row of the table."""
        return f"{'caught' if self.is_good else 'MISSED':8}{self.name:52}{self.seconds:5.1f} s  {self.text}"


def migration_with(mutant: Mutant) -> str:
    """The whole migration with the mutant's replacement.

    Raises: ValueError unless the text to replace occurs exactly once in its file.
    """
    parts = []
    for path in runpy.run_path(str(SQL / "migration.py"))["declared_files"]():
        text = path.read_text(encoding="utf-8")
        if path == SQL / mutant.file:
            text = replaced(mutant, text)
        parts.append(text)
    return "\n".join(parts)


def replaced(mutant: Mutant, text: str) -> str:
    """The text with the defect.

    Raises: ValueError unless the text to replace occurs exactly once.
    """
    found = text.count(mutant.old)
    if found != 1:
        raise ValueError(f"does not apply: {found} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


async def tested(mutant: Mutant | None, files: tuple[str, ...]) -> tuple[int, str]:
    """Run test files on the project with the mutant's defect; None: on the project as it is."""
    if mutant is None:
        return await pytest_in(ROOT, files)
    with tempfile.TemporaryDirectory() as folder:
        if mutant.file.endswith(".py"):
            copy_with(mutant, Path(folder))
            return await pytest_in(Path(folder), files)
        (Path(folder) / MIGRATION).write_text(migration_with(mutant), encoding="utf-8")
        return await pytest_in(ROOT, files, LISTENER_TEST_MIGRATIONS=folder)


def copy_with(mutant: Mutant, folder: Path) -> None:
    """A copy of the project with the defect.

    Raises: ValueError unless the text to replace occurs exactly once in its file.
    """
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        else:
            shutil.copy(source, folder / name)
    path = folder / mutant.file
    path.write_text(replaced(mutant, path.read_text(encoding="utf-8")), encoding="utf-8")


async def pytest_in(folder: Path, files: tuple[str, ...], **environment: str) -> tuple[int, str]:
    """Run test files of the project in that folder, and no other copy of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", *files),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def judged(mutant: Mutant, turns: asyncio.Semaphore) -> Result:
    """Whether the tests of the mutant's object see it."""
    async with turns:
        started = time.monotonic()
        try:
            status, output = await tested(mutant, mutant.tests)
        except ValueError as error:
            return Result(mutant.name, False, str(error), 0.0)
    failed = FAILED.search(output)
    is_caught = status == 1 and failed is not None and "MigrationError" not in output
    text = failed.group(1) if is_caught and failed else f"status {status}: {' '.join(output.split())[-300:]}"
    if mutant.refusal is not None and "MigrationError" in output and mutant.refusal in output:
        is_caught, text = True, f"the migration: {mutant.refusal}"
    return Result(mutant.name, is_caught, text, time.monotonic() - started)


async def sound(turns: asyncio.Semaphore) -> Result:
    """Whether all the tests pass without a defect: else their failing would prove nothing."""
    async with turns:
        started = time.monotonic()
        files = tuple(sorted({file for mutant in CASES for file in mutant.tests}))
        status, output = await tested(None, files)
    text = "pass without a defect" if status == 0 else f"status {status}: {' '.join(output.split())[-300:]}"
    return Result("(no defect)", status == 0, text, time.monotonic() - started)


async def main(words: list[str]) -> int:
    """Run the chosen cases, the slowest first of all the run without a defect."""
    chosen = [mutant for mutant in CASES if not words or any(word in mutant.name for word in words)]
    turns = asyncio.Semaphore(AT_ONCE)
    caught = 0
    async with asyncio.TaskGroup() as group:
        reference = None if words else group.create_task(sound(turns))
        tasks = [group.create_task(judged(mutant, turns)) for mutant in chosen]
        for task in tasks:
            result = await task
            caught += result.is_good
            print(result.line(), flush=True)
    is_sound = True
    if reference is not None:
        result = reference.result()
        is_sound = result.is_good
        print(f"{'passed' if is_sound else 'FAILED':8}{result.line()[8:]}")
    print(f"{caught} of {len(chosen)} caught")
    return 0 if is_sound and caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
