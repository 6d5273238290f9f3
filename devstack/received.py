"""Reads JSON that came from outside, as strictly as the languages of the real servers do.

Python's own reader takes what is no JSON, and what could not be sent on or stored afterwards.
"""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes) -> Any:
    """The value of JSON text, its bytes being UTF-8.

    Raises: ValueError, for NaN, a number beyond a double, half a surrogate pair and endless nesting as well.
    """
    try:
        value = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value
