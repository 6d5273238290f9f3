"""Talking clips by InfiniteTalk: a program that is not ours, in an environment of its own, run as a process."""
