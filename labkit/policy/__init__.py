"""The operator's policy: what templates may ask an installation for. Closed where nothing is said. Pure but for `load`.

A lab is judged by its finished objects, after all merging, so that nothing passes by in other words.
"""

from labkit.policy.judge import crowded, refusals, size_of
from labkit.policy.rules import Cap, Policy, load

__all__ = ["Cap", "Policy", "crowded", "load", "refusals", "size_of"]
