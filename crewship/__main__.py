"""`python -m crewship`."""

from crewship.cli.main import main

if __name__ == "__main__":
    main()
