"""`python -m listener`."""

from __future__ import annotations

from listener.cli.main import main

if __name__ == "__main__":
    main()
