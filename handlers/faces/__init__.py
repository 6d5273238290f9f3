"""Faces: found and told apart by dlib, in a process of its own."""
