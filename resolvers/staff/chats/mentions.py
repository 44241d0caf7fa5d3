"""Mentions of agents in a group."""

import re


def mentions(text: str, slug: str) -> bool:
    """Returns true if `@slug` is in the text as a whole word, in any letter case, and not inside an address (contract:
    chats.behaviour 4).
    """
    return re.search(rf"(?<![\w%+-])@{re.escape(slug)}(?!-*\w)", text, re.IGNORECASE) is not None
