"""What a child process needs that is to die at one point of its work, told by a count: part of its program's text."""

# `left` is set before it, to the number of the call at which the process kills itself.
from __future__ import annotations

DIES = """
left = int(left)

def die_at_the_last(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)

def watched(call):
    def watching(*args, **options):
        die_at_the_last()
        return call(*args, **options)
    return watching
"""
