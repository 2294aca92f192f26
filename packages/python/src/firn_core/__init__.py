"""Firn's core: every decision, pure. One module for each part of it.

>>> from firn_core import masking
>>> masking.mask("card 4111 1111 1111 1111").text
'card ****-****-****-1111'
"""

from . import (
    conflict,
    gateway,
    identity,
    intake,
    mapping,
    masking,
    ownership,
    planner,
    settings,
    words,
)
from ._component import CoreError

__all__ = [
    "CoreError",
    "conflict",
    "gateway",
    "identity",
    "intake",
    "mapping",
    "masking",
    "ownership",
    "planner",
    "settings",
    "words",
]
