"""Faults of bundles."""

from enum import StrEnum


class BundleFault(StrEnum):
    """The kinds of faults, as counters name them."""

    invalid_manifest = "invalid_manifest"
    invalid_checksum = "invalid_checksum"
    format_too_new = "format_too_new"
    format_too_old = "format_too_old"
    decryption = "decryption"
    schema_too_old = "schema_too_old"
    incompatible_target = "incompatible_target"


class BundleError(Exception):
    """A bundle that cannot be used; the text is for the person who sent it."""

    def __init__(self, fault: BundleFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault
