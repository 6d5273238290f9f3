"""How much of the project its tests reach, and the gates: `python -m tests.reach`."""
