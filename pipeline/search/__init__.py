"""Candidates → scores → the next candidates, over a trained supernet."""
