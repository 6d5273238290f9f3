"""The defects of packs and of cleaning. Each names the test files that must see it."""

from __future__ import annotations

from tests.mutants.cases import case
from tests.mutants.mutant import Mutant

PACKS = (
    case(
        "a pack draws somebody else's character",
        "functions/take_character",
        " and owned.user_id = new.user_id;",
        ";",
        "packs",
    ),
    case(
        "a pack costs as much as one image",
        "data/session_tables",
        "set credits_column = 'image_count', folder",
        "set folder",
        "packs",
    ),
    case(
        "everybody sees the images of packs",
        "policies/character_images",
        "using ((select auth.uid()) = user_id)",
        "using (true)",
        "packs",
    ),
    case(
        "images of a lost attempt stay",
        "functions/show_images",
        "and image.storage_path not in (select picture.path from listener.pictures_of(job.result) as picture);",
        "and false;",
        "packs",
    ),
    case(
        "a pack that is cancelled keeps nothing",
        "data/kinds",
        "'characters', 'undelivered')",
        "'characters', 'all')",
        "packs",
    ),
    case(
        "a lost reference is drawn anew by every pack",
        "functions/show_characters",
        " or character.reference_path = latest.known_path\n",
        "\n",
        "packs",
    ),
    case(
        "any pack's first image becomes the reference",
        "functions/show_characters",
        " or character.reference_path = latest.known_path\n",
        " or latest.reference_path is not null\n",
        "packs",
    ),
)

CLEANING = (
    case(
        "a character's reference expires",
        "functions/drop_artifacts",
        " and not listener.is_named(candidate.bucket, candidate.path)",
        "",
        "cleaning",
    ),
    case(
        "what is removed stays in its row",
        "functions/forget_artifacts",
        "  perform listener.project(v_dropped.fading);\n",
        "",
        "cleaning",
    ),
    case(
        "whoever asks may have a file removed",
        "functions/drop_artifacts",
        " and candidate.due_at <= (select listener.clock())",
        "",
        "cleaning",
    ),
    case(
        "an upload is an orphan before its row is there",
        "functions/listed_orphans",
        "        and object.changed_at < (select listener.clock()) - interval '2 days'\n",
        "",
        "cleaning",
    ),
    case(
        "the buckets of apps are cleaned too",
        "functions/listed_orphans",
        "    object.bucket in ('headshots', 'generated', 'stores', 'characters', 'videos', 'uploads')\n    and (",
        "    (",
        "cleaning",
    ),
    case(
        "a deleted user's words stay",
        "functions/discard",
        " else '{}'\n",
        " else session.params\n",
        "cleaning",
    ),
    case(
        "what went wrong with a deleted user's row stays in his words",
        "functions/discard",
        ", error_message = null, error_details = null",
        "",
        "cleaning",
    ),
    case(
        "who was forgotten once loses all that he ever uploads",
        "functions/listed_orphans",
        " and object.changed_at < gone.forgotten_at + interval '2 days'",
        "",
        "cleaning",
    ),
    case(
        "the face of a character goes while the character stays",
        "functions/is_spent_input",
        "return not exists (select from public.characters as owned where owned.id = v_character::uuid);",
        "return true;",
        "cleaning",
    ),
    case(
        "a broken table's files go",
        "views/due_artifacts",
        " and registry.broken_at is null",
        "",
        "cleaning",
    ),
)

CASES: tuple[Mutant, ...] = (*PACKS, *CLEANING)
