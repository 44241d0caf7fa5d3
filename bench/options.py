"""The command line that the runs share."""

import argparse


def parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of load, for each case and implementation in a round")
    parser.add_argument(
        "--cases", type=lambda text: text.split(","), metavar="CASE,…", help="these cases instead of all"
    )
    parser.add_argument(
        "--only", type=lambda text: text.split(","), metavar="NAME,…", help="these implementations instead of all"
    )
    return parser.parse_args()
