"""The languages that a workspace may prefer; stored by name, accepted by name or code."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from resolvers.kernel import invalid
from resolvers.rules.config_text import shown

LANGUAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "af": "Afrikaans",
        "ar": "Arabic",
        "bg": "Bulgarian",
        "bn": "Bengali",
        "ca": "Catalan",
        "cs": "Czech",
        "da": "Danish",
        "de": "German",
        "el": "Greek",
        "en": "English",
        "es": "Spanish",
        "et": "Estonian",
        "fa": "Persian",
        "fi": "Finnish",
        "fr": "French",
        "he": "Hebrew",
        "hi": "Hindi",
        "hr": "Croatian",
        "hu": "Hungarian",
        "id": "Indonesian",
        "it": "Italian",
        "ja": "Japanese",
        "ko": "Korean",
        "lt": "Lithuanian",
        "lv": "Latvian",
        "ms": "Malay",
        "nb": "Norwegian",
        "nl": "Dutch",
        "pl": "Polish",
        "pt": "Portuguese",
        "pt-BR": "Portuguese (Brazil)",
        "ro": "Romanian",
        "ru": "Russian",
        "sk": "Slovak",
        "sl": "Slovenian",
        "sr": "Serbian",
        "sv": "Swedish",
        "sw": "Swahili",
        "ta": "Tamil",
        "th": "Thai",
        "tr": "Turkish",
        "uk": "Ukrainian",
        "ur": "Urdu",
        "vi": "Vietnamese",
        "zh": "Chinese",
        "zh-TW": "Chinese (Traditional)",
    }
)
"""BCP 47 tag -> name, in the order of the contract."""

_NAMES = {key.lower(): name for code, name in LANGUAGES.items() for key in (code, name)}


def canonical_language(text: str, field: str = "preferred_language") -> str | None:
    """A language's name by name or code, in any case (BCP 47 tags ignore it); None for an empty text, which clears."""
    if text == "":
        return None
    name = _NAMES.get(text.lower())
    if name is None:
        raise invalid(field, f"{shown(text)} is not a known language")
    return name
