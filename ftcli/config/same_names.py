"""Names of labels that are the same but for upper and lower case, as data.label_names, a config.json and the rows write them."""

from __future__ import annotations

from collections.abc import Sequence


def places_of(names: Sequence[str], among: Sequence[str]) -> list[int] | None:
    """Returns where each name stands among others, letter for letter or else without regard to case.

    Args:
        names: to look for.
        among: where.

    Returns:
        A place for each name; None where one is not there, or could be two.
    """
    for key in (str, _key):
        known = {key(name): place for place, name in enumerate(among)}
        wanted = [key(name) for name in names]
        if len(known) == len(among) and len(set(wanted)) == len(names) and known.keys() >= set(wanted):
            return [known[name] for name in wanted]
    return None


def _key(name: str) -> str:
    return name.strip().casefold()
