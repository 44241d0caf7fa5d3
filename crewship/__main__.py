"""`python -m crewship`."""

from crewship.cli import main

if __name__ == "__main__":
    main()
