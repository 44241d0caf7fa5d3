"""A runner: the process on another machine that executes the calls of one token."""
