"""A path that a user names leads into his own folder, or nowhere."""

from __future__ import annotations

from uuid import UUID

import pytest

from listener.engine.own_objects import PATH_CHARS_MAX, require_own_object
from listener.errors import Unusable

OWNER = UUID("8d1cbb20-5c2e-4a3e-9d8e-0f8b8a4b0a11")


@pytest.mark.parametrize("path", ["a.png", "photos/me (1).png", "a/b/c/d.jpeg", "x@2x.webp"])
def test_a_path_in_the_owners_own_folder_is_taken(path: str) -> None:
    assert require_own_object(f"{OWNER}/{path}", OWNER) == f"{OWNER}/{path}"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        f"{OWNER}",
        f"{OWNER}/",
        f"/{OWNER}/a.png",
        f"{OWNER}//a.png",
        f"{OWNER}/../other/a.png",
        f"{OWNER}/./a.png",
        f"{OWNER}/a/..",
        f"{OWNER}/..%2fother/a.png",
        f"{OWNER}/%2e%2e/a.png",
        f"{OWNER}\\..\\a.png",
        f"{OWNER}/a.png\x00.jpg",
        f"{OWNER}/a\nb.png",
        f"{OWNER}/.hidden",
        f"{OWNER}/a.png?token=x",
        f"{OWNER}/a.png#x",
        f"{OWNER}/-rf",
        f"{OWNER}/trailing. ",
        f"{OWNER}/\u2025/a.png",
        f"{OWNER}/" + "a" * PATH_CHARS_MAX,
        "00000000-0000-4000-8000-000000000001/a.png",
        f"{str(OWNER).upper()}/a.png",
        "https://example.com/a.png",
        "file:///etc/passwd",
        "C:/windows/a.png",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_with_a_remedy_and_not_repeated(path: str) -> None:
    with pytest.raises(Unusable) as refused:
        require_own_object(path, OWNER)
    assert refused.value.remedy
    if len(path) > 1:
        assert path not in str(refused.value)
